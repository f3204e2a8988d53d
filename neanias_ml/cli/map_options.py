"""Options of the verbs that work on a map: the map, its extraction and what is written of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.options import usable_cores
from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig, SourceFinder, SuppliedNoise
from neanias_ml.maps import Beam, RadioMap, read_map, require_usable_pixels

ARCSEC = 1.0 / 3600.0


def add_map_options(parser: ArgumentParser) -> None:
    """The map and what its header may lack."""
    parser.add_argument("map", type=str, help="radio map: .fits, .fits.gz or .fits.fz")
    parser.add_argument("-o", "--output", type=str, help="folder for the results (required)")
    parser.add_argument("--hdu", type=int, default=None, help="header-data unit that holds the image")
    parser.add_argument("--plane", type=int, default=None, help="plane of a cube, counted from 0")
    parser.add_argument(
        "--beam",
        type=float,
        nargs="+",
        default=None,
        metavar="ARCSEC",
        help="beam instead of the header's: MAJOR [MINOR [PA]] (arcsec, arcsec, degrees east of north)",
    )
    parser.add_argument(
        "--pixel-scale",
        type=float,
        default=None,
        metavar="ARCSEC",
        help="pixel size, for maps without usable coordinates",
    )


def add_extraction_options(parser: ArgumentParser) -> None:
    """How the classical stage works."""
    parser.add_argument(
        "--noise-map",
        type=str,
        default=None,
        help="noise map to use instead of an estimate (FITS); the background is then zero, or that of --background-map",
    )
    parser.add_argument("--background-map", type=str, default=None, help="background map, beside --noise-map (FITS)")
    parser.add_argument(
        "--target-purity",
        type=float,
        default=None,
        metavar="SHARE",
        help="lower or raise the seed threshold until this share of the islands is real, by the inverted map (0.99)",
    )
    parser.add_argument("--extended", action="store_true", help="search for extended emission that no pixel shows")
    parser.add_argument(
        "--tile-size",
        type=int,
        default=None,
        metavar="PIXELS",
        help="rows of the map held at a time: a matter of memory only, changes no row (default: by the map's size)",
    )
    parser.add_argument("--workers", type=int, default=0, help="threads; 0: as many as the machine grants")
    parser.add_argument("--finder", type=FinderConfig, default=FinderConfig())


def finder_of(parser: ArgumentParser, options: Namespace) -> SourceFinder:
    """The finder that the options describe."""
    if options.tile_size is not None and options.tile_size < 1:
        raise UsageError("TileSize", f"--tile-size is a number of pixels, not {options.tile_size}")
    if options.workers < 0:
        raise UsageError("Workers", f"--workers must be 0 (all) or a number of threads, not {options.workers}")
    config: FinderConfig = parser.instantiate(options).finder
    if options.target_purity is not None:
        config = dataclasses.replace(config, target_purity=options.target_purity)
    if options.extended:
        config = dataclasses.replace(config, search_extended=True)
    workers = options.workers or usable_cores()
    return SourceFinder(config, rows=options.tile_size, workers=workers)


def supplied_noise(options: Namespace, radio_map: RadioMap) -> SuppliedNoise | None:
    """The noise and background maps that the options name, or None; what their headers lack is the map's."""
    if options.noise_map is None:
        if options.background_map is not None:
            raise UsageError("NoiseMapMissing", "--background-map needs --noise-map beside it")
        return None
    scale = radio_map.pixel_scale if radio_map.sky is None else None
    noise = read_map(options.noise_map, beam=radio_map.beam, pixel_scale=scale)
    background = None
    if options.background_map is not None:
        background = read_map(options.background_map, beam=radio_map.beam, pixel_scale=scale)
    return SuppliedNoise(noise, background)


def add_result_options(parser: ArgumentParser) -> None:
    """What is written beside the catalogue."""
    parser.add_argument("--save-maps", action="store_true", help="write island, background, noise and residual maps")
    parser.add_argument("--parquet", action="store_true", help="write the tables as Parquet too (needs pyarrow)")
    parser.add_argument(
        "--descriptors", action="store_true", help="write shapes and artefact evidence of islands (descriptors.ecsv)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="write no overview.png and no report.html")


def open_map(options: Namespace) -> RadioMap:
    """Read and check the map that the options name."""
    radio_map = read_map(
        options.map,
        hdu=options.hdu,
        plane=options.plane,
        beam=beam_option(options.beam),
        pixel_scale=None if options.pixel_scale is None else options.pixel_scale * ARCSEC,
    )
    return require_usable_pixels(radio_map)


def beam_option(values: Sequence[float] | None) -> Beam | None:
    """The beam of ``--beam MAJOR [MINOR [PA]]`` (arcsec, arcsec, degrees)."""
    if values is None:
        return None
    if len(values) > 3:
        raise UsageError("BeamOption", f"--beam takes MAJOR [MINOR [PA]], not {len(values)} numbers")
    major = values[0]
    minor = values[1] if len(values) > 1 else major
    angle = values[2] if len(values) > 2 else 0.0
    try:
        return Beam(major * ARCSEC, minor * ARCSEC, angle)
    except ValueError as error:
        raise UsageError("BeamOption", f"--beam {' '.join(map(str, values))}: {error}") from error
