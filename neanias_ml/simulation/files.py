"""Simulated fields on disk: the map, its truth, and how it was made."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.errors import InputError
from neanias_ml.simulation.sky import SimulatedSky, sky_wcs
from neanias_ml.simulation.truth import ComponentTruth, IslandTruth, ObjectTruth, Truth

TableT = TypeVar("TableT", bound=Columns)
_TABLES = {"objects": ObjectTruth, "components": ComponentTruth, "islands": IslandTruth}
_LABEL_MAPS = {"object_labels": "OBJECTS", "island_labels": "ISLANDS", "faint_labels": "FAINT"}
_UNITS = {
    "x": "pix", "y": "pix", "ra": "deg", "dec": "deg", "total_flux": "Jy", "peak_flux": "Jy/beam",
    "major": "arcsec", "minor": "arcsec", "pa": "deg",
}  # fmt: skip


def write_simulation(
    sky: SimulatedSky, directory: Path, *, map_name: str = "map.fits", truth_maps: bool = False
) -> list[Path]:
    """Write a simulated field; each file appears whole, under its final name, or not at all.

    Parameters
    ----------
    sky
        The field.
    directory
        Folder, made if needed; files of an earlier field in it are replaced.
    map_name
        Name of the map (``.fits`` or ``.fits.gz``).
    truth_maps
        Write the true noise, background, model and artefact maps as well.

    Returns
    -------
    list of Path
        ``map.fits``, ``truth_objects.ecsv``, ``truth_components.ecsv``, ``truth_islands.ecsv``,
        ``truth_labels.fits.gz``, ``truth.json`` and, on request, ``truth_rms.fits``,
        ``truth_background.fits``, ``truth_model.fits``, ``truth_artefact.fits``.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    header = map_header(sky)
    written = [_write_image(directory / map_name, sky.radio_map.data, header)]
    for name in _TABLES:
        written.append(_write_table(directory / f"truth_{name}.ecsv", getattr(sky.truth, name)))
    written.append(_write_labels(directory / "truth_labels.fits.gz", sky.truth, header))
    if truth_maps:
        for name in ("rms", "background", "model", "artefact"):
            written.append(_write_image(directory / f"truth_{name}.fits", getattr(sky, name), header))
    manifest = {"seed": sky.seed, "config": dataclasses.asdict(sky.config)}
    text = json.dumps(manifest, indent=2) + "\n"
    written.append(_replace(directory / "truth.json", lambda path: path.write_text(text, encoding="utf-8")))
    return written


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
    header["TELESCOP"] = ("SIMULATION", f"{sky.config.layout}-like array")
    header["OBJECT"] = f"seed {sky.seed}"
    return header


def _replace(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path`` (same suffixes), then rename it."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write_image(path: Path, image: NDArray[np.float32], header: fits.Header) -> Path:
    return _write_hdus(path, fits.HDUList([fits.PrimaryHDU(image, header)]))


def _write_labels(path: Path, truth: Truth, header: fits.Header) -> Path:
    maps = [fits.ImageHDU(getattr(truth, name), header, name=hdu) for name, hdu in _LABEL_MAPS.items()]
    return _write_hdus(path, fits.HDUList([fits.PrimaryHDU(), *maps]))


def _write_hdus(path: Path, hdus: fits.HDUList) -> Path:
    """Write FITS, compressed for names in ``.gz``; without time stamp, so that equal fields give equal bytes."""
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    content = buffer.getvalue()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    return _replace(path, lambda temporary: temporary.write_bytes(content))


def _write_table(path: Path, columns: Columns) -> Path:
    names = [field.name for field in dataclasses.fields(columns)]
    table = Table([getattr(columns, name) for name in names], names=names)
    for name in names:
        table[name].unit = _UNITS.get(name)
    return _replace(path, lambda temporary: table.write(temporary, format="ascii.ecsv", overwrite=True))


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
