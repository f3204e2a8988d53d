"""`write_catalogue`: all files of one run."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path

from neanias_ml.catalogue.directory import MANIFEST, RESULT_FILES, OutputDirectory
from neanias_ml.catalogue.manifest import RunRecord, manifest, write_manifest
from neanias_ml.catalogue.map_files import map_writers
from neanias_ml.catalogue.masks import write_masks
from neanias_ml.catalogue.outlines import Polygon, island_outlines
from neanias_ml.catalogue.regions import write_regions
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.tables import CatalogueTables, build_tables, provenance_facts
from neanias_ml.catalogue.text import printable
from neanias_ml.catalogue.writers import parquet_names, require_parquet, write_ecsv, write_parquet, write_votable
from neanias_ml.errors import UsageError
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue


def write_catalogue(
    directory: OutputDirectory | Path | str,
    *,
    extraction: Extraction,
    catalogue: ObjectCatalogue | None,
    run: RunRecord,
    save_maps: bool = False,
    parquet: bool = False,
    descriptors: bool = False,
    pictures: bool = True,
    overwrite: bool = False,
) -> list[Path]:
    """Write tables, regions, masks, pictures, report and manifest of a run.

    Every file gets its name when all of them are written; after an error none is left.

    Parameters
    ----------
    directory
        Where to write; made where missing.
    extraction
        What the classical stage found.
    catalogue
        Objects made of the islands by ``detect``; None after ``extract``.
    run
        What the command knows of its run.
    save_maps
        Write ``islands.fits``, ``background.fits``, ``noise.fits`` and ``residual.fits`` too.
    parquet
        Write the tables as Parquet too.
    descriptors
        Write the table of shapes and artefact evidence too.
    pictures
        Write ``overview.png`` and ``report.html``.
    overwrite
        Whether results of an earlier run in the directory are replaced.

    Returns
    -------
    list of Path
        The files, in the order of writing; the manifest is the last.

    Raises
    ------
    UsageError
        If the directory holds another run's results and ``overwrite`` is not set, the input is among the files
        to be written, or pyarrow is missing for Parquet files.
    ResourceError
        If the disk is full or the directory cannot be written to.
    """
    if not isinstance(directory, OutputDirectory):
        directory = OutputDirectory(directory, overwrite=overwrite)
    if extraction.radio_map.source.path is not None:
        refuse_input_as_output(extraction.radio_map.source.path, directory.path)
    if parquet:
        require_parquet()
    started = time.perf_counter()
    facts = provenance_facts(
        extraction.radio_map, software=run.software, models=tuple(str(model) for model in run.models)
    )
    tables = build_tables(extraction, catalogue=catalogue, provenance=facts, descriptors=descriptors)
    sources = Sources.from_results(extraction, catalogue)
    outlines = island_outlines(extraction.layers if catalogue is None else (extraction.islands,))
    with directory:
        _write_tables(directory, tables, parquet=parquet)
        directory.write("sources.reg", partial(write_regions, sources, outlines))
        if catalogue is not None:
            directory.write("masks.json", partial(write_masks, sources, catalogue.objects))
        if save_maps:
            for name, writer in map_writers(extraction, software=run.software).items():
                directory.write(name, writer)
        run = dataclasses.replace(run, timings={**run.timings, "catalogue": time.perf_counter() - started})
        if pictures:
            _write_pictures(directory, sources, outlines, tables, run)
        timings = {**run.timings, "pictures": time.perf_counter() - started - run.timings["catalogue"]}
        content = manifest(sources, dataclasses.replace(run, timings=timings), files=directory.written)
        directory.write(MANIFEST, partial(write_manifest, content))
        paths = directory.final_paths()
    return paths


def refuse_input_as_output(path: Path | str, directory: Path | str) -> None:
    """Make sure that no file of a run would take the place of its input, by whatever links the two are named.

    The input is read while results are written, and is not ours to replace.

    Parameters
    ----------
    path
        The input.
    directory
        Where the results go.

    Raises
    ------
    UsageError
        ``InputIsOutput``.
    """
    for name in RESULT_FILES:
        if _is_same_file(Path(directory) / name, Path(path)):
            raise UsageError(
                "InputIsOutput", f"the results would overwrite the input {path}; name another directory with -o"
            )


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file that exists."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def _write_tables(directory: OutputDirectory, tables: CatalogueTables, *, parquet: bool) -> None:
    """The tables in every format that is wanted."""
    for table in tables.all:
        directory.write(f"{table.meta['name']}.ecsv", partial(write_ecsv, table))
    directory.write("catalogue.vot", partial(write_votable, tables))
    if parquet:
        for name, table in parquet_names(tables).items():
            directory.write(name, partial(write_parquet, table))


def _write_pictures(
    directory: OutputDirectory,
    sources: Sources,
    outlines: tuple[Polygon, ...],
    tables: CatalogueTables,
    run: RunRecord,
) -> None:
    """Overview and report."""
    from neanias_ml.catalogue.overview import write_overview
    from neanias_ml.catalogue.report import ReportContent, write_report

    path = sources.extraction.radio_map.source.path
    title = printable(path.name) if path is not None else "Radio map"
    overview = directory.write("overview.png", partial(write_overview, sources, outlines, title=title))
    content = ReportContent(
        sources=sources,
        outlines=outlines,
        tables=tables,
        run=run,
        overview=overview,
        files=(*directory.written, "report.html", MANIFEST),
        title=title,
    )
    directory.write("report.html", partial(write_report, content))
