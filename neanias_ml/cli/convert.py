"""`neanias-ml convert`: labels of images from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.options import parse_options, silent_libraries, verb_parser
from neanias_ml.datasets.labels.formats import read_labels, source_format, target_format, write_labels
from neanias_ml.errors import UsageError
from neanias_ml.models.class_styles import style_of


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("convert", description="Convert labels between COCO, CAESAR's sidecars and DS9 regions.")
    parser.add_argument("labels", type=str, help="file or folder of labels, or a simulated field")
    parser.add_argument(
        "target_path", metavar="output", type=str, nargs="?", default=None,
        help="what to write: FILE.json (COCO), FILE.reg (DS9) or a folder",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=str, help="the same, as the other verbs have it")
    parser.add_argument(
        "--from", dest="source", type=Literal["coco", "caesar", "ds9", "simulated"] | None, default=None,
        help="format of the labels (default: by their names and content)",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="target", type=Literal["coco", "caesar", "ds9"] | None, default=None,
        help="format to write (default: by the name)",
    )  # fmt: skip
    parser.add_argument("--image-root", type=str, default=None, help="folder of the images, where they are not found")
    parser.add_argument("--sky", action="store_true", help="DS9: polygons in ICRS degrees where there are coordinates")
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    options = parse_options(build_parser(), arguments)
    source, output = Path(options.labels), _output(options)
    target = options.target or target_format(output)
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError("InputIsOutput", f"the labels would overwrite their source {source}; name another place")
    with silent_libraries():
        form = options.source or source_format(source)
        labels = read_labels(source, form=form, image_root=options.image_root)
        written = write_labels(
            labels,
            output,
            form=target,
            overwrite=options.overwrite,
            colour=lambda name: style_of(name).colour,
            on_sky=options.sky,
        )
    if not options.quiet:
        ignored = labels.n_objects - sum(labels.counts.values())
        counted = {**labels.counts, "ignored": ignored} if ignored else labels.counts
        counts = ", ".join(f"{count} {name}" for name, count in counted.items() if count)
        print(f"read: {source} ({form}): {labels.n_objects} object(s) of {len(labels)} image(s): {counts}")
        print("\n".join(f"written: {file}" for file in written.files))
        print("\n".join([f"lost: {loss}" for loss in written.losses] or ["lost: nothing"]))
        for note in written.notes:
            print(f"note: {note}")


def _output(options: Namespace) -> Path:
    """The place to write to, named once."""
    if options.target_path and options.output:
        raise UsageError("OutputTwice", f"say once where the labels go: {options.target_path} or -o {options.output}")
    name = options.target_path or options.output
    if not name:
        raise UsageError("OutputMissing", "say where the labels go: FILE.json, FILE.reg or a folder")
    return Path(name)
