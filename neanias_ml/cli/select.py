"""`neanias-ml select`: rows of a catalogue that pass cuts and lie in regions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from neanias_ml.catalogue import RunRecord
from neanias_ml.catalogue.reading import read_table
from neanias_ml.catalogue.reading_sources import CatalogueColumns, sources_of
from neanias_ml.catalogue.selection import Cut, CutCount, Selection, apply_cuts, cuts_of_file
from neanias_ml.catalogue.selection_files import count_lines, write_selection
from neanias_ml.catalogue.selection_language import parse_expression
from neanias_ml.catalogue.selection_regions import Region, inside_any, read_regions
from neanias_ml.catalogue.table_files import table_writer
from neanias_ml.cli.options import parse_options, silent_libraries, verb_parser
from neanias_ml.cli.report import configuration
from neanias_ml.errors import UsageError
from neanias_ml.output_files import require_room


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("select", description="Keep the rows of a catalogue that pass cuts; tell what each removed.")
    parser.add_argument("catalogue", type=str, help="catalogue of any finder, or the folder of a run")
    parser.add_argument(
        "-o", "--output", type=str, help="file for the rows (required): .ecsv, .vot, .fits, .csv or .parquet"
    )
    parser.add_argument("--table", type=str, default=None, help="which of several tables: its name or number from 0")
    parser.add_argument("--where", type=str, default=None, help="a cut, as in \"snr > 7 and kind == 'compact'\"")
    parser.add_argument("--cuts", type=str, default=None, help="YAML file of named cuts")
    parser.add_argument("--region", type=str, default=None, help="DS9 region file")
    parser.add_argument(
        "--inside", type=Literal["keep", "drop"], default="keep", help="what to do with rows inside the regions"
    )
    parser.add_argument(
        "--tag", type=str, default=None, metavar="NAME",
        help="keep all rows and write a column NAME: whether a row passes; NAME_region: text of its region",
    )  # fmt: skip
    parser.add_argument("--columns", type=CatalogueColumns, default=CatalogueColumns())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    started = datetime.now(UTC)
    parser = build_parser()
    options = parse_options(parser, arguments)
    output = _require_sensible(options)
    writer = table_writer(output)
    cuts, combine = _cuts(options)
    regions = read_regions(options.region) if options.region else ()
    with silent_libraries():
        table = read_table(options.catalogue, table=options.table)
        if options.tag and {options.tag, f"{options.tag}_region"} & set(table.colnames):
            raise UsageError("TagExists", f"the catalogue has a column {options.tag!r} already; choose another --tag")
        selection = apply_cuts(table, cuts, combine=combine)
        if options.where and options.cuts:
            selection = _narrowed(selection, apply_cuts(table, (_where(options),)).rows, _where(options))
        owner = None
        if regions:
            columns: CatalogueColumns = parser.instantiate(options).columns
            sources = sources_of(table, columns=columns, path=Path(options.catalogue))
            places = {role: sources.get(role) for role in ("ra", "dec", "x", "y")}
            owner = inside_any(regions, **places)
            inside = owner >= 0
            selection = _narrowed(selection, inside if options.inside == "keep" else ~inside, _region_cut(options))
        if options.tag:
            table[options.tag] = selection.rows
            if owner is not None:
                table[f"{options.tag}_region"] = _labels(regions, owner)
        run = RunRecord(
            command=("neanias-ml", "select", *arguments), configuration=configuration(options), started=started
        )
        files = write_selection(
            table if options.tag else table[selection.rows],
            output,
            writer=writer,
            selection=selection,
            source=Path(options.catalogue),
            run=run,
        )
    if not options.quiet:
        print("\n".join(count_lines(selection)))
        print(f"written: {files[0]} ({'all rows, tagged' if options.tag else 'the rows that stay'}), {files[1]}")


def _require_sensible(options: Namespace) -> Path:
    """The output file, after a look at the options."""
    if not options.output:
        raise UsageError("OutputMissing", "say where the rows go: -o FILE (.ecsv, .vot, .fits, .csv or .parquet)")
    if not (options.where or options.cuts or options.region):
        raise UsageError("NoCut", "say what to select: --where CONDITION, --cuts FILE or --region FILE")
    if options.tag is not None and not options.tag.isidentifier():
        raise UsageError("TagName", f"--tag needs a name of letters, digits and underscores, not {options.tag!r}")
    output = Path(options.output)
    for name in (options.catalogue, options.cuts, options.region):
        if name and output.exists() and Path(name).exists() and output.samefile(name):
            raise UsageError("InputIsOutput", f"the rows would overwrite the input {name}; name another file with -o")
    require_room(output.parent, names=(output.name, f"{output.name}.run.json"), overwrite=options.overwrite)
    return output


def _where(options: Namespace) -> Cut:
    return Cut("--where", parse_expression(options.where))


def _cuts(options: Namespace) -> tuple[tuple[Cut, ...], Literal["all", "any"]]:
    """Cuts of the file, else the one of the command line, else none."""
    if options.cuts:
        return cuts_of_file(options.cuts)
    return ((_where(options),) if options.where else (), "all")


def _region_cut(options: Namespace) -> str:
    return f"{'inside' if options.inside == 'keep' else 'outside'} {Path(options.region).name}"


def _narrowed(selection: Selection, rows: NDArray[np.bool_], cut: Cut | str) -> Selection:
    """A selection after one more condition, which its report gets too."""
    left = selection.rows & rows
    name, where = (cut, "") if isinstance(cut, str) else (cut.name, cut.text)
    removed = int(selection.rows.sum() - left.sum())
    count = CutCount(name, where, "", int(rows.sum()), removed, int(left.sum()))
    return Selection(left, (*selection.counts, count))


def _labels(regions: tuple[Region, ...], owner: NDArray[np.int64]) -> NDArray[np.str_]:
    """Text of each row's region; empty outside."""
    names = [region.label or f"{region.shape} {number + 1}" for number, region in enumerate(regions)]
    return np.array(
        [names[number] if number >= 0 else "" for number in owner.tolist()], dtype="U" if len(owner) else "U2"
    )
