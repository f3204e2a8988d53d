"""`neanias-ml associate`: the rows of any catalogue grouped into physical objects, without a map."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.catalogue import RunRecord
from neanias_ml.catalogue.association_rows import AssociationOptions
from neanias_ml.catalogue.reading_sources import CatalogueColumns, read_sources
from neanias_ml.catalogue.table_files import table_writer
from neanias_ml.cli.map_options import beam_option
from neanias_ml.cli.model_reference import model_folder_of
from neanias_ml.cli.options import parse_options, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.cli.report import configuration
from neanias_ml.cli.shipped_models import CATALOGUE_ASSOCIATION, identity
from neanias_ml.errors import ModelError, UsageError
from neanias_ml.output_files import require_room

if TYPE_CHECKING:
    from neanias_ml.models.association.bundle import GraphBundle

PREFERRED = ("islands", "components", "objects")
"""What is grouped of a file or run with several tables: the network was trained on islands."""


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("associate", description="Group the islands or components of a catalogue into objects.")
    parser.add_argument("catalogue", type=str, help="catalogue of any finder, or the folder of a run")
    parser.add_argument(
        "-o", "--output", type=str, help="file for the rows (required): .ecsv, .vot, .fits, .csv or .parquet"
    )
    parser.add_argument(
        "--model",
        type=str,
        default=str(CATALOGUE_ASSOCIATION),
        help="network that groups rows without a map: folder of a bundle, or models:/NAME@ALIAS",
    )
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server or database of models:/ names")
    parser.add_argument(
        "--beam",
        type=float,
        nargs="+",
        default=None,
        metavar="ARCSEC",
        help="beam of the map, where the catalogue does not say: MAJOR [MINOR [PA]] (arcsec, arcsec, degrees)",
    )
    parser.add_argument("--rms", type=float, default=None, metavar="JY_PER_BEAM", help="noise of rows without one")
    parser.add_argument(
        "--pixel-scale", type=float, default=None, metavar="ARCSEC", help="pixel size, for positions in pixels"
    )
    parser.add_argument(
        "--islands",
        type=Literal["join", "apart"],
        default="join",
        help="whether rows of one island of the catalogue are one thing from the start",
    )
    parser.add_argument(
        "--association-threshold",
        type=float,
        default=None,
        help="least probability with which two rows are linked (default: the model's own)",
    )
    parser.add_argument("--columns", type=CatalogueColumns, default=CatalogueColumns())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    started, clock = datetime.now(UTC), time.perf_counter()
    parser = build_parser()
    options = parse_options(parser, arguments)
    output = _require_sensible(options)
    settings = AssociationOptions(
        beam=beam_option(options.beam),
        rms=options.rms,
        pixel_scale=options.pixel_scale,
        join_islands=options.islands == "join",
    )
    columns: CatalogueColumns = parser.instantiate(options).columns
    progress = ProgressLine(quiet=options.quiet)
    with silent_libraries():
        progress("catalogue read", 0, 1)
        sources = read_sources(options.catalogue, columns=columns, preferred=PREFERRED)
        progress("catalogue read", 1, 1)
        bundle = _load_model(options)
        timings = {"reading": time.perf_counter() - clock}
        from neanias_ml.catalogue.association import associate_catalogue
        from neanias_ml.catalogue.association_files import association_counts, write_association

        catalogue = associate_catalogue(sources, bundle=bundle, options=settings, progress=progress)
        timings["association"] = time.perf_counter() - clock - timings["reading"]
        run = RunRecord(
            command=("neanias-ml", "associate", *arguments),
            configuration=configuration(options),
            timings=timings,
            models=(identity("association", options.model, bundle.digest),),
            seed=options.seed,
            started=started,
            warnings=catalogue.notes,
        )
        files = write_association(catalogue, output, run=run)
    if not options.quiet:
        counts = association_counts(catalogue)
        print(
            f"{counts['rows']} rows are {counts['objects']} objects, {counts['objects_of_several_rows']} of them of "
            f"several rows ({counts['rows_in_them']} in all)"
        )
        print("\n".join([*(f"note: {note}" for note in catalogue.notes), "look first at:"]))
        for text, path in zip(("rows", "objects", "links", "picture"), files, strict=False):
            print(f"  {text:<8} {path}")


def _require_sensible(options: Namespace) -> Path:
    """The output file, after a look at the options."""
    from neanias_ml.catalogue.association_files import association_names

    if not options.output:
        raise UsageError("OutputMissing", "say where the rows go: -o FILE (.ecsv, .vot, .fits, .csv or .parquet)")
    output = Path(options.output)
    table_writer(output)
    names = association_names(output)
    for name in names:
        target = output.parent / name
        if target.exists() and Path(options.catalogue).exists() and target.samefile(options.catalogue):
            raise UsageError(
                "InputIsOutput", f"the results would overwrite the input {options.catalogue}; name another file with -o"
            )
    require_room(output.parent, names=names, overwrite=options.overwrite)
    return output


def _load_model(options: Namespace) -> GraphBundle:
    """The network that the options name.

    Raises
    ------
    ModelError
        ``ModelMissing`` if none is named and none is shipped; as its loader.
    UsageError
        ``AssociationThreshold``.
    """
    from neanias_ml.inference.graph_association import with_threshold
    from neanias_ml.models.association.bundle import load_graph_bundle

    if Path(options.model) == CATALOGUE_ASSOCIATION and not CATALOGUE_ASSOCIATION.is_dir():
        raise ModelError(
            "ModelMissing",
            f"there is no {CATALOGUE_ASSOCIATION.name} among the shipped models; name a network that was trained with "
            "features: catalogue by --model FOLDER or models:/NAME@ALIAS",
        )
    bundle = load_graph_bundle(model_folder_of(options.model, tracking_uri=options.tracking_uri))
    if options.association_threshold is None:
        return bundle
    return with_threshold(bundle, options.association_threshold)
