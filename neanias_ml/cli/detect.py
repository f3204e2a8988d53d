"""`neanias-ml detect`: classified objects of a map, the main job."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.catalogue import ModelIdentity
from neanias_ml.cli.map_options import add_extraction_options, add_map_options, add_result_options
from neanias_ml.cli.map_run import MapRun, NetworkUse
from neanias_ml.cli.model_reference import model_folder_of
from neanias_ml.cli.options import silent_libraries, verb_parser
from neanias_ml.cli.shipped_models import ASSOCIATION, DETECTOR, MORPHOLOGY, identity, optional_model
from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig

if TYPE_CHECKING:
    from neanias_ml.inference.detector import ObjectDetector
    from neanias_ml.models.association.bundle import GraphBundle
    from neanias_ml.models.bundle import ModelBundle
    from neanias_ml.models.morphology.bundle import MorphologyBundle


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("detect", description="Find, group and classify the sources of a radio map.")
    add_map_options(parser)
    parser.add_argument(
        "--model", type=str, default=str(DETECTOR), help="detector: folder of a bundle, or models:/NAME@ALIAS"
    )
    parser.add_argument(
        "--association",
        type=str,
        default=str(ASSOCIATION),
        help="network that groups islands: folder, models:/NAME@ALIAS, or none: masks of the detector join them",
    )
    parser.add_argument(
        "--morphology",
        type=str,
        default=str(MORPHOLOGY),
        help="network that tells what extended objects are: folder, models:/NAME@ALIAS, or none",
    )
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server or database of models:/ names")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, or a GPU such as cuda:0")
    parser.add_argument(
        "--association-threshold",
        type=float,
        default=None,
        help="least probability with which two islands are linked, or a mask joins them (default: the model's own)",
    )
    add_result_options(parser)
    add_extraction_options(parser)
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    run = MapRun("detect", parser=build_parser(), arguments=arguments)
    options = run.options
    with silent_libraries():
        run.progress("networks loaded", 0, 1)
        from neanias_ml.inference.detector import ObjectDetector

        networks = load_networks(options)
        detector = ObjectDetector(
            networks.detector,
            association=networks.association,
            morphology=networks.morphology,
            association_threshold=options.association_threshold,
        )
        run.progress("networks loaded", 1, 1)
        extraction = run.extract()
        catalogue = detector(extraction, progress=run.progress)
        use = networks.use_of(detector, finder=run.finder.config)
        run.write(extraction, catalogue=catalogue, timings=detector.timings, networks=use)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of a run, by what they are for; those that are optional may be None."""

    detector: ModelBundle
    association: GraphBundle | None
    morphology: MorphologyBundle | None
    identities: tuple[ModelIdentity, ...]
    warnings: tuple[str, ...]

    def use_of(self, detector: ObjectDetector, *, finder: FinderConfig) -> NetworkUse:
        """What the manifest keeps of them after a run."""
        from neanias_ml.inference.trained_on import extraction_departures

        departures = extraction_departures(finder, self.detector.settings.extractor, network="detector")
        if self.association is not None:
            extractor = self.association.settings.extractor
            departures += extraction_departures(finder, extractor, network="association network")
        return NetworkUse(
            models=self.identities,
            warnings=(*self.warnings, *departures, *detector.warnings()),
            counts=dataclasses.asdict(detector.counts),
        )


def load_networks(options: Namespace) -> Networks:
    """The networks that the options of the verb name, on the device that they name.

    Raises
    ------
    ModelError
        As the bundles' own loaders, ``OtherNetwork`` for a bundle of another kind among them.
    UsageError
        ``Device``.
    """
    from neanias_ml.models.association.bundle import load_graph_bundle
    from neanias_ml.models.bundle import load_bundle
    from neanias_ml.models.morphology.bundle import load_morphology_bundle

    uri, device = options.tracking_uri, choose_device(options.device)
    detector = load_bundle(model_folder_of(options.model, tracking_uri=uri), device=device)
    grouping = optional_model(options.association, role="association", shipped=ASSOCIATION, tracking_uri=uri)
    naming = optional_model(options.morphology, role="morphology", shipped=MORPHOLOGY, tracking_uri=uri)
    association = None if grouping.folder is None else load_graph_bundle(grouping.folder, device=device)
    morphology = None if naming.folder is None else load_morphology_bundle(naming.folder, device=device)
    given = (
        ("detector", options.model, detector),
        ("association", options.association, association),
        ("morphology", options.morphology, morphology),
    )
    return Networks(
        detector=detector,
        association=association,
        morphology=morphology,
        identities=tuple(identity(role, text, one.digest) for role, text, one in given if one is not None),
        warnings=(*grouping.warnings, *naming.warnings),
    )


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
