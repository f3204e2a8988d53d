"""`neanias-ml detect`: classified objects of a map, the main job."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jsonargparse import ArgumentParser

from neanias_ml.cli.map_options import add_extraction_options, add_map_options, add_result_options
from neanias_ml.cli.map_run import MapRun, ModelUsed
from neanias_ml.cli.model_reference import model_folder_of
from neanias_ml.cli.options import silent_libraries, verb_parser
from neanias_ml.errors import UsageError

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "models" / "island-rcnn-small"
"""The bundle that is shipped with the project."""


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("detect", description="Find, group and classify the sources of a radio map.")
    add_map_options(parser)
    parser.add_argument(
        "--model", type=str, default=str(DEFAULT_MODEL), help="model: folder of a bundle, or models:/NAME@ALIAS"
    )
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server or database of models:/ names")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, or a GPU such as cuda:0")
    parser.add_argument(
        "--association-threshold",
        type=float,
        default=None,
        help="least probability with which islands are joined into one object (default: the model's own)",
    )
    add_result_options(parser)
    add_extraction_options(parser)
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    run = MapRun("detect", parser=build_parser(), arguments=arguments)
    options = run.options
    with silent_libraries():
        run.progress("network loaded", 0, 1)
        from neanias_ml.inference.detector import ObjectDetector
        from neanias_ml.inference.trained_on import extraction_departures
        from neanias_ml.models.bundle import load_bundle

        folder = model_folder_of(options.model, tracking_uri=options.tracking_uri)
        bundle = load_bundle(folder, device=choose_device(options.device))
        detector = ObjectDetector(bundle, association_threshold=options.association_threshold)
        run.progress("network loaded", 1, 1)
        extraction = run.extract()
        catalogue = detector(extraction, progress=run.progress)
        used = ModelUsed(
            name=Path(options.model).name,
            digest=bundle.digest,
            warnings=(*extraction_departures(run.finder.config, bundle.settings), *detector.warnings()),
            counts=dataclasses.asdict(detector.counts),
        )
        run.write(extraction, catalogue=catalogue, timings=detector.timings, model=used)


def choose_device(name: str) -> str:
    """The device that an option names: a GPU where there is one and ``auto`` is asked."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError("Device", f"--device {name} cannot be used here; choose auto or cpu") from error
    return name
