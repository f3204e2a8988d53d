"""`neanias-ml datasets check | sheet | stats`: labels looked through before they train anything."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.actions import chosen_action
from neanias_ml.cli.options import parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.datasets.labels.checks import CheckConfig, Finding, check_labels
from neanias_ml.datasets.labels.contact_sheet import sheet_name, write_sheets
from neanias_ml.datasets.labels.formats import read_labels
from neanias_ml.datasets.labels.labelled import LabelSet
from neanias_ml.datasets.labels.statistics import (
    class_statistics,
    statistics_document,
    statistics_lines,
    table_lines,
)
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.class_styles import OTHER, STYLES, ClassStyle, style_of
from neanias_ml.output_files import replaced_together, require_room

MOST_ROWS = 20
"""Findings of one kind that are printed; the file of -o has all."""


def build_parser(action: str) -> ArgumentParser:
    """The options of one of `ACTIONS`."""
    description = ACTIONS[action][1]
    parser = verb_parser(f"datasets {action}", description=f"{description[0].upper()}{description[1:]}.")
    parser.add_argument("labels", type=str, nargs="*", help="label files or folders: COCO, CAESAR, DS9, simulated")
    parser.add_argument("--image-root", type=str, default=None, help="folder of the images, where they are not found")
    if action == "check":
        parser.add_argument(
            "--split", type=str, action="append", default=[], metavar="NAME=PATH",
            help="labels of a split; splits are compared with each other (repeat the option)",
        )  # fmt: skip
        parser.add_argument("-o", "--output", type=str, help="CSV file for all findings")
        parser.add_argument("--check", type=CheckConfig, default=CheckConfig())
    elif action == "sheet":
        parser.add_argument("-o", "--output", type=str, help="folder for the pages (required)")
        parser.add_argument("--per-page", type=int, default=24, help="images on a page, 1 to 48")
    else:
        parser.add_argument("-o", "--output", type=str, help="JSON file for the counts")
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    action, rest = chosen_action("datasets", arguments, {name: text for name, (_, text) in ACTIONS.items()})
    parser = build_parser(action)
    options = parse_options(parser, rest)
    with silent_libraries():
        ACTIONS[action][0](parser, options)


def check(parser: ArgumentParser, options: Namespace) -> None:
    """Print a table of findings; errors among them end the command with exit code 3."""
    config: CheckConfig = parser.instantiate(options).check
    output = _output_file(options)
    problems: dict[str, list[InputError]] = {}
    sets: dict[str, LabelSet] = {}
    for name, path in _splits(options).items():
        problems[name] = []
        try:
            sets[name] = read_labels(path, image_root=options.image_root, report=problems[name].append)
        except InputError as error:
            problems[name].append(error)
            sets[name] = LabelSet((), ())
            problems[name].append(InputError("NoObjects", f"nothing of {path} could be read"))
    findings = check_labels(sets, config=config, problems=problems)
    if output is not None:
        with replaced_together(output.parent, names=[output.name]) as folder:
            _write_findings(findings, folder / output.name)
    if not options.quiet:
        print("\n".join(_finding_lines(findings)))
        counts = "; ".join(
            f"{name}: {labels.n_objects} objects of {len(labels)} images" for name, labels in sets.items()
        )
        print(f"checked: {counts}")
        if output is not None:
            print(f"written: {output} ({len(findings)} findings)")
    errors = sum(finding.severity == "error" for finding in findings)
    if errors:
        raise InputError("LabelsFaulty", f"the labels have {errors} error(s) in {len(sets)} set(s); see the table")


def sheet(_: ArgumentParser, options: Namespace) -> None:
    """Write contact sheets of all label sets, one after another."""
    directory = Path(require_output(options))
    names = _splits(options)
    sets = {name: read_labels(path, image_root=options.image_root) for name, path in names.items()}
    several = len(sets) > 1
    folders = {name: directory / name if several else directory for name in sets}
    for name, labels in sets.items():
        pages = [sheet_name(number + 1) for number in range(-(-len(labels) // max(options.per_page, 1)))]
        old = [path.name for path in folders[name].glob("sheet_[0-9][0-9][0-9].png")]
        files = list(dict.fromkeys([*old, *pages]))
        require_room(folders[name], names=files, overwrite=options.overwrite)
        with replaced_together(folders[name], names=files) as place:
            write_sheets(labels, place, looks=class_looks(labels), per_page=options.per_page, title=str(names[name]))
        if not options.quiet:
            missing = sum(not image.path.is_file() for image in labels)
            if missing:
                print(f"warning: {missing} image(s) of {names[name]} are missing, drawn as their masks; --image-root")
            print(f"written: {len(pages)} page(s) of {len(labels)} image(s) in {folders[name]}")


def stats(_: ArgumentParser, options: Namespace) -> None:
    """Print counts by class, size and islands."""
    output = _output_file(options)
    document = {}
    for name, path in _splits(options).items():
        labels = read_labels(path, image_root=options.image_root)
        statistics = class_statistics(labels)
        document[name] = {"images": len(labels), "classes": statistics_document(statistics)}
        if not options.quiet:
            print(
                f"{name}: {labels.n_objects} object(s) of {len(labels)} image(s); sizes: longer side of the box, pixels"
            )
            print("\n".join([*statistics_lines(statistics), ""]))
    if output is not None:
        with replaced_together(output.parent, names=[output.name]) as folder:
            (folder / output.name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if not options.quiet:
            print(f"written: {output}")


def class_looks(labels: LabelSet) -> dict[str, ClassStyle]:
    """Look of every class: the usual one, or one that no other class of the set has."""
    used = [labelled.class_name for image in labels for labelled in image.objects]
    names = list(dict.fromkeys((*labels.class_names, *sorted(used))))
    looks = {name: style_of(name) for name in names}
    free = [style for name, style in STYLES.items() if name not in looks]
    for name in names:
        if looks[name] == OTHER and free:
            looks[name] = free.pop(0)
    return looks


def _splits(options: Namespace) -> dict[str, Path]:
    """Path of each label set by a name of its own."""
    named: dict[str, Path] = {}
    for path in map(Path, options.labels):
        is_named = path.name not in ("", "..")
        stem, number = path.stem if is_named else path.resolve().name, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in named:
            number += 1
        named[name] = path
    for text in getattr(options, "split", []):
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError("SplitOption", f"--split takes NAME=PATH, not {text!r}")
        if name in named:
            raise UsageError("SplitOption", f"two label sets are called {name!r}; give the splits different names")
        named[name] = Path(path)
    if not named:
        raise UsageError("LabelsNeeded", "name at least one file or folder of labels")
    return named


def _output_file(options: Namespace) -> Path | None:
    """The file of -o, if any, after a look at whether it can be written."""
    if not options.output:
        return None
    output = Path(options.output)
    require_room(output.parent, names=[output.name], overwrite=options.overwrite)
    return output


def _finding_lines(findings: list[Finding]) -> list[str]:
    """A table, not more than `MOST_ROWS` of each kind."""
    if not findings:
        return ["nothing is wrong"]
    shown: Counter[tuple[str, str]] = Counter()
    rows = [["severity", "finding", "split", "where", "what"]]
    for found in findings:
        kind = (found.severity, found.code)
        shown[kind] += 1
        if shown[kind] <= MOST_ROWS:
            rows.append([found.severity, found.code, found.split, found.place, found.message])
    more = [f"... and {count - MOST_ROWS} more of {kind[1]}" for kind, count in shown.items() if count > MOST_ROWS]
    totals = [
        f"{severity}s: {sum(found.severity == severity for found in findings)}" for severity in ("error", "warning")
    ]
    return [*table_lines(rows), *more, "; ".join(totals)]


def _write_findings(findings: list[Finding], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["severity", "code", "split", "place", "message"])
        rows.writerows([f.severity, f.code, f.split, f.place, f.message] for f in findings)


ACTIONS: dict[str, tuple[Callable[[ArgumentParser, Namespace], None], str]] = {
    "check": (check, "find leaks between splits, broken masks, wrong classes and missing images"),
    "sheet": (sheet, "draw contact sheets of the images with the outlines of their objects"),
    "stats": (stats, "count objects by class, size and number of islands"),
}
"""Actions of the verb: their functions and what they do."""
