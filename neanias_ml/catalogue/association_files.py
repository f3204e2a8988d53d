"""The files of a grouped catalogue, written together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table

from neanias_ml.catalogue.association import AssociatedCatalogue, link_lengths
from neanias_ml.catalogue.crossmatch_files import table_manifest
from neanias_ml.catalogue.manifest import RunRecord, describe_models, write_manifest
from neanias_ml.catalogue.regions import HEADER
from neanias_ml.catalogue.table_files import table_writer
from neanias_ml.output_files import replaced_together

ADDED = ("object_id", "n_members", "association_probability")
"""Columns that the rows get; a column that had the name before keeps its values under ``NAME_before``."""
LINK_COLOUR = "#e69f00"


def association_names(path: Path) -> tuple[str, ...]:
    """Names of all files for a table ``NAME.SUFFIX``, the manifest last."""
    return (
        path.name,
        f"{path.stem}.objects{path.suffix}",
        f"{path.stem}.links.reg",
        f"{path.stem}.png",
        f"{path.name}.run.json",
    )


def write_association(catalogue: AssociatedCatalogue, path: Path, *, run: RunRecord) -> list[Path]:
    """Write the rows with their objects, the objects, links as DS9 regions, a picture and the manifest.

    All files appear together, or none does.

    Parameters
    ----------
    path
        File of the rows; its ending says the format of both tables, its stem begins the names of the others.

    Returns
    -------
    list of Path
        The files, the manifest last.

    Raises
    ------
    UsageError
        ``TableFormat`` for an ending that is not known.
    """
    from neanias_ml.catalogue.association_picture import write_association_picture

    names = association_names(path)
    writer = table_writer(path)
    writers: tuple[Callable[[Path], None], ...] = (
        lambda target: writer(rows_table(catalogue), target),
        lambda target: writer(objects_table(catalogue), target),
        lambda target: write_links(catalogue, target),
        lambda target: write_association_picture(catalogue, target),
    )
    with replaced_together(path.parent, names=names) as folder:
        for name, write in zip(names, writers, strict=False):
            write(folder / name)
        files = {name: folder / name for name in names[:-1]}
        content = table_manifest(
            "associate", run, inputs=(catalogue.sources,), counts=association_counts(catalogue), files=files
        )
        write_manifest({**content, "models": describe_models(run)}, folder / names[-1])
    return [path.parent / name for name in names]


def association_counts(catalogue: AssociatedCatalogue) -> dict[str, int]:
    """Rows, objects, and objects of several rows."""
    several = catalogue.objects.n_members > 1
    return {
        "rows": len(catalogue.object_id),
        "objects": len(catalogue.objects),
        "objects_of_several_rows": int(several.sum()),
        "rows_in_them": int(catalogue.objects.n_members[several].sum()),
        "links": len(catalogue.links),
    }


def rows_table(catalogue: AssociatedCatalogue) -> Table:
    """The rows of the catalogue, all its columns as they were, with the object of each."""
    table = catalogue.sources.table.copy(copy_data=False)
    for name in ADDED:
        if name in table.colnames:
            table.rename_column(name, _free_name(f"{name}_before", table.colnames))
    added: tuple[tuple[str, Any, str, str], ...] = (
        ("object_id", catalogue.object_id, "meta.id.assoc", "object that the row belongs to"),
        ("n_members", catalogue.n_members, "meta.number", "rows of that object"),
        (
            "association_probability",
            catalogue.association_probability,
            "stat.probability",
            "least probability of the links that hold the object together; NaN without any",
        ),
    )
    for name, values, ucd, description in added:
        table[name] = Column(values, description=description, meta={"ucd": ucd})
    return table


def objects_table(catalogue: AssociatedCatalogue) -> Table:
    """One row per object with its position, size and flux."""
    objects = catalogue.objects
    table = Table(meta={"name": "objects", "provenance": dict(catalogue.sources.table.meta.get("provenance") or {})})
    _add(table, "object_id", objects.object_id, "", "meta.id;meta.main", "number of the object")
    _add(table, "n_members", objects.n_members, "", "meta.number", "rows of the catalogue that belong to it")
    if catalogue.rows.on_sky:
        _add(table, "ra", objects.ra, "deg", "pos.eq.ra;meta.main", "right ascension of the flux-weighted centroid")
        _add(table, "dec", objects.dec, "deg", "pos.eq.dec;meta.main", "declination of the flux-weighted centroid")
    else:
        scale = catalogue.pixel_scale_arcsec
        _add(table, "x", -objects.east / scale, "pix", "pos.cartesian.x", "column of the flux-weighted centroid")
        _add(table, "y", objects.north / scale, "pix", "pos.cartesian.y", "row of the flux-weighted centroid")
    _add(table, "peak_flux", objects.peak_flux, "Jy/beam", "phot.flux.density;em.radio;stat.max", "brightest row")
    _add(table, "total_flux", objects.total_flux, "Jy", "phot.flux.density;em.radio", "sum over the rows")
    _add(
        table, "largest_angular_size", objects.largest_angular_size, "arcsec", "phys.angSize",
        "largest distance between two points of its rows' ellipses at half maximum, with the beam",
    )  # fmt: skip
    _add(table, "position_angle", objects.position_angle, "deg", "pos.posAng", "direction of it, east of north")
    _add(
        table, "association_probability", objects.association_probability, "", "stat.probability",
        "least probability of the links that hold it together; NaN without any",
    )  # fmt: skip
    return table


def write_links(catalogue: AssociatedCatalogue, path: Path) -> None:
    """DS9 regions: one line per link with the tag of its object, and one text per object of several rows."""
    lines = list(_link_lines(catalogue))
    system = "icrs" if catalogue.rows.on_sky else "image"
    path.write_text("\n".join([HEADER.rstrip("\n"), system, *lines]) + "\n", encoding="ascii")


def _link_lines(catalogue: AssociatedCatalogue) -> Iterator[str]:
    rows, objects = catalogue.rows, catalogue.objects
    sky = rows.on_sky
    scale = 1.0 if sky else catalogue.pixel_scale_arcsec

    def place(part: Any) -> tuple[Any, Any]:
        return (part.ra, part.dec) if sky else (1.0 - part.east / scale, 1.0 + part.north / scale)

    form = "%.7f,%.7f" if sky else "%.3f,%.3f"
    x, y = place(rows)
    ids = catalogue.object_id[catalogue.links[:, 0]].tolist()
    for (one, other), number, length in zip(
        catalogue.links.tolist(), ids, link_lengths(catalogue).tolist(), strict=True
    ):
        ends = ",".join([form % (x[one], y[one]), form % (x[other], y[other])])
        yield f"line({ends}) # line=0 0 color={LINK_COLOUR} width=2 tag={{object {number}}} tag={{{length:.1f} arcsec}}"
    x, y = place(objects)
    for row in np.flatnonzero(objects.n_members > 1).tolist():
        number = int(objects.object_id[row])
        yield f"# text({form % (x[row], y[row])}) color={LINK_COLOUR} text={{{number}}} tag={{object {number}}}"


def _add(table: Table, name: str, values: Any, unit: str, ucd: str, description: str) -> None:
    table[name] = Column(values, unit=unit or None, description=description, meta={"ucd": ucd})


def _free_name(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
