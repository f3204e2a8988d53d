"""`ObjectDetector`: from the islands of a map to classified objects."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.errors import UsageError
from neanias_ml.extraction import Extraction
from neanias_ml.inference.association import MULTI_COLUMN, IslandGroup, associate_islands
from neanias_ml.inference.measure_objects import measure_objects
from neanias_ml.inference.objects import Detections, ObjectCatalogue
from neanias_ml.inference.predict import FoundInstance, WindowResult, predict_window
from neanias_ml.inference.windows import plan_windows
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES

FloatArray = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""

SPURIOUS_COLUMN = CLASS_LABELS["spurious"] - 1


@dataclass(frozen=True)
class DetectionCounts:
    """What happened in the windows, for the run's manifest."""

    windows: int
    detections: int
    detections_without_island: int
    detections_beyond_limit: int


class ObjectDetector:
    """Runs a model bundle over an extraction.

    Parameters
    ----------
    bundle
        The network with its settings.
    association_threshold
        Least probability of ``extended-multisland`` with which a mask joins the islands that it covers; by
        default the bundle's score threshold of that class.
    """

    def __init__(self, bundle: ModelBundle, *, association_threshold: float | None = None) -> None:
        self.bundle = bundle
        thresholds = bundle.model.operating_point.score_thresholds
        self.association_threshold = (
            thresholds[MULTI_COLUMN] if association_threshold is None else association_threshold
        )
        if not 0.0 <= self.association_threshold <= 1.0:
            raise UsageError(
                "AssociationThreshold", f"the association threshold must lie in [0, 1], not {association_threshold}"
            )
        self.timings: dict[str, float] = {}
        self.counts = DetectionCounts(0, 0, 0, 0)

    def __call__(self, extraction: Extraction, *, progress: Progress | None = None) -> ObjectCatalogue:
        """Detect, associate, classify and measure the objects of one map."""
        report = progress or (lambda stage, done, total: None)
        started = time.perf_counter()
        results = self._run_windows(extraction, report)
        self.timings = {"network": time.perf_counter() - started}
        started = time.perf_counter()
        catalogue = self._catalogue(extraction, results)
        self.timings["objects"] = time.perf_counter() - started
        self.counts = DetectionCounts(
            windows=len(results),
            detections=len(catalogue.detections),
            detections_without_island=sum(result.n_without_island for result in results),
            detections_beyond_limit=sum(result.n_dropped for result in results),
        )
        return catalogue

    def warnings(self) -> tuple[str, ...]:
        """Sentences about the last map that its user should know."""
        if not self.counts.detections_beyond_limit:
            return ()
        return (
            f"{self.counts.detections_beyond_limit} detections beyond the network's limit of "
            f"{self.bundle.settings.architecture.detections_per_window} per window were left out; the field is crowded",
        )

    def _run_windows(self, extraction: Extraction, report: Progress) -> list[WindowResult]:
        settings = self.bundle.settings
        grid = ResampledGrid.of(extraction.radio_map, pixels_per_beam=settings.pixels_per_beam)
        windows = plan_windows(extraction.islands.table, grid, window_size=settings.window_size)
        results = []
        report("network windows", 0, len(windows))
        for done, planned in enumerate(windows, start=1):
            results.append(predict_window(extraction, grid, planned, bundle=self.bundle))
            report("network windows", done, len(windows))
        return results

    def _catalogue(self, extraction: Extraction, results: list[WindowResult]) -> ObjectCatalogue:
        islands = extraction.islands.table
        readout, spurious = np.zeros((len(islands), len(CLASS_NAMES) + 1)), np.zeros(len(islands))
        for result in results:
            readout[result.rows], spurious[result.rows] = result.probabilities, result.spurious
        detections = _gather(results, islands.island_id)
        groups = associate_islands(detections, islands.island_id, threshold=self.association_threshold)
        probabilities = object_probabilities(groups, readout, detections)
        joined = np.array(
            [np.nan if g.detection is None else detections.probabilities[g.detection, MULTI_COLUMN] for g in groups]
        )
        objects = measure_objects(
            extraction,
            groups,
            class_names=[CLASS_NAMES[index] for index in probabilities.argmax(axis=1)] if groups else [],
            probabilities=probabilities,
            association_probability=joined.astype(np.float64),
        )
        object_ids = np.zeros(len(islands), dtype=np.int64)
        for group in groups:
            object_ids[np.array(group.island_ids) - 1] = group.island_ids[0]
        return ObjectCatalogue(
            objects=objects, island_object_ids=object_ids, island_spurious=spurious, detections=detections
        )


def object_probabilities(groups: list[IslandGroup], readout: FloatArray, detections: Detections) -> FloatArray:
    """Class probabilities (N, 5) of objects, summing to one.

    Several islands were joined by a detection, so they are ``extended-multisland`` or an artefact; one island cannot
    be ``extended-multisland``. What is known by the number of islands is taken out of the network's probabilities,
    read at the island's own box or of the joining detection, before they are normalised.
    """
    probabilities = np.zeros((len(groups), len(CLASS_NAMES)))
    for row, group in enumerate(groups):
        if group.detection is None:
            probabilities[row] = readout[group.island_ids[0] - 1, 1:]
            probabilities[row, MULTI_COLUMN] = 0.0
        else:
            joint = detections.probabilities[group.detection]
            probabilities[row, [SPURIOUS_COLUMN, MULTI_COLUMN]] = joint[[SPURIOUS_COLUMN, MULTI_COLUMN]]
    probabilities += 1e-12
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _gather(results: list[WindowResult], island_ids: NDArray[np.int64]) -> Detections:
    """All instances of the windows, best first; ties are broken by position."""
    found: list[FoundInstance] = [instance for result in results for instance in result.instances]
    found.sort(key=lambda instance: (-instance.score, tuple(instance.box)))
    classes = np.array([instance.probabilities[1:] for instance in found]).reshape(-1, len(CLASS_NAMES))
    return Detections(
        boxes=np.array([instance.box for instance in found]).reshape(-1, 4),
        scores=np.array([instance.score for instance in found], dtype=np.float64),
        probabilities=classes,
        spurious=np.array([instance.spurious for instance in found], dtype=np.float64),
        island_ids=tuple(tuple(int(island_ids[row]) for row in instance.rows) for instance in found),
    )
