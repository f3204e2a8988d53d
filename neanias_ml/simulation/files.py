"""Simulated fields on disk: the map, its truth, and how it was made."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.errors import InputError
from neanias_ml.output_files import replaced_together
from neanias_ml.simulation.sky import SimulatedSky, sky_wcs
from neanias_ml.simulation.truth import ComponentTruth, IslandTruth, ObjectTruth, Truth

TableT = TypeVar("TableT", bound=Columns)
MAP_NAME = "map.fits"
_TABLES = {"objects": ObjectTruth, "components": ComponentTruth, "islands": IslandTruth}
_LABEL_MAPS = {"object_labels": "OBJECTS", "island_labels": "ISLANDS", "faint_labels": "FAINT"}
_TRUTH_MAPS = ("rms", "background", "model", "artefact")
_UNITS = {
    "x": "pix", "y": "pix", "ra": "deg", "dec": "deg", "total_flux": "Jy", "peak_flux": "Jy/beam",
    "major": "arcsec", "minor": "arcsec", "pa": "deg",
}  # fmt: skip


def field_files(*, map_name: str = MAP_NAME, truth_maps: bool = True) -> list[str]:
    """Names of a field's files, ``truth.json`` last; the maps of ``truth_maps`` are optional."""
    maps = [f"truth_{name}.fits" for name in _TRUTH_MAPS] if truth_maps else []
    return [map_name, *(f"truth_{name}.ecsv" for name in _TABLES), "truth_labels.fits.gz", *maps, "truth.json"]


def write_simulation(
    sky: SimulatedSky, directory: Path, *, map_name: str = MAP_NAME, truth_maps: bool = False
) -> list[Path]:
    """Write a simulated field; all its files appear together under their final names, or none does.

    Parameters
    ----------
    sky
        The field.
    directory
        Folder, made if needed; an earlier field in it is replaced, with its maps of ``truth_maps``.
    map_name
        Name of the map (``.fits`` or ``.fits.gz``).
    truth_maps
        Write the true noise, background, model and artefact maps as well.

    Returns
    -------
    list of Path
        ``map.fits``, ``truth_objects.ecsv``, ``truth_components.ecsv``, ``truth_islands.ecsv``,
        ``truth_labels.fits.gz``, on request ``truth_rms.fits``, ``truth_background.fits``,
        ``truth_model.fits`` and ``truth_artefact.fits``, and ``truth.json``.

    Raises
    ------
    UsageError
        If ``directory`` is a file, or has a name that the file system does not take.
    ResourceError
        If it cannot be written to, or the disk is full.
    """
    directory = Path(directory)
    header = map_header(sky)
    manifest = {"seed": sky.seed, "config": dataclasses.asdict(sky.config)}
    with replaced_together(directory, names=field_files(map_name=map_name)) as folder:
        _write_image(folder / map_name, sky.radio_map.data, header)
        for name in _TABLES:
            _write_table(folder / f"truth_{name}.ecsv", getattr(sky.truth, name))
        _write_labels(folder / "truth_labels.fits.gz", sky.truth, header)
        for name in _TRUTH_MAPS if truth_maps else ():
            _write_image(folder / f"truth_{name}.fits", getattr(sky, name), header)
        (folder / "truth.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return [directory / name for name in field_files(map_name=map_name, truth_maps=truth_maps)]


def read_truth(directory: Path) -> Truth:
    """Truth of a field written by `write_simulation`.

    Raises
    ------
    InputError
        If a file is missing or a column is.
    """
    directory = Path(directory)
    labels = directory / "truth_labels.fits.gz"
    _need(labels)
    with fits.open(labels, memmap=False) as hdus:
        maps = {name: np.array(hdus[hdu].data, dtype=np.int32) for name, hdu in _LABEL_MAPS.items()}
    return Truth(
        **maps,
        objects=_read_table(directory / "truth_objects.ecsv", ObjectTruth),
        components=_read_table(directory / "truth_components.ecsv", ComponentTruth),
        islands=_read_table(directory / "truth_islands.ecsv", IslandTruth),
    )


def map_header(sky: SimulatedSky) -> fits.Header:
    """FITS header of the map: geometry, beam, unit, frequency and seed."""
    header = sky_wcs(sky.config).to_header()
    header["BUNIT"] = "Jy/beam"
    header["BTYPE"] = "Intensity"
    header["BMAJ"], header["BMIN"] = sky.config.beam_major / 3600.0, sky.config.beam_minor / 3600.0
    header["BPA"] = sky.config.beam_pa
    header["RESTFRQ"] = (sky.config.frequency, "[Hz]")
    header["TELESCOP"] = ("SIMULATION", f"{sky.config.imaging.layout}-like array")
    header["OBJECT"] = f"seed {sky.seed}"
    return header


def _write_image(path: Path, image: NDArray[np.float32], header: fits.Header) -> None:
    _write_hdus(path, fits.HDUList([fits.PrimaryHDU(image, header)]))


def _write_labels(path: Path, truth: Truth, header: fits.Header) -> None:
    maps = [fits.ImageHDU(getattr(truth, name), header, name=hdu) for name, hdu in _LABEL_MAPS.items()]
    _write_hdus(path, fits.HDUList([fits.PrimaryHDU(), *maps]))


def _write_hdus(path: Path, hdus: fits.HDUList) -> None:
    """Write FITS, compressed for names in ``.gz``; without time stamp, so that equal fields give equal bytes."""
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    content = buffer.getvalue()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    path.write_bytes(content)


def _write_table(path: Path, columns: Columns) -> None:
    names = [field.name for field in dataclasses.fields(columns)]
    names += ["morphology"] if isinstance(columns, ObjectTruth) else []  # derived, for readers of the file
    table = Table([getattr(columns, name) for name in names], names=names)
    for name in names:
        table[name].unit = _UNITS.get(name)
    table.write(path, format="ascii.ecsv")


def _read_table(path: Path, kind: type[TableT]) -> TableT:
    _need(path)
    table = Table.read(path, format="ascii.ecsv")
    names = [field.name for field in dataclasses.fields(kind)]
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise InputError("TruthColumnMissing", f"{path} has no column {', '.join(missing)}; simulate the field again")
    return kind(**{name: np.array(table[name]) for name in names})


def _need(path: Path) -> None:
    if not path.exists():
        raise InputError("TruthMissing", f"{path} does not exist; write it with 'neanias-ml simulate'")
