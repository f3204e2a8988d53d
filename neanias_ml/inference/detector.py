"""`ObjectDetector`: from the islands of a map to classified objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.errors import UsageError
from neanias_ml.extraction import Extraction
from neanias_ml.inference.association import Association, associate_by_masks
from neanias_ml.inference.class_fusion import MULTI_COLUMN
from neanias_ml.inference.graph_association import associate_by_graph, grouping_of, with_threshold
from neanias_ml.inference.measure_objects import measure_objects
from neanias_ml.inference.morphology import with_morphology
from neanias_ml.inference.objects import Detections, ObjectCatalogue, ObjectTable
from neanias_ml.inference.predict import FoundInstance, WindowResult, predict_window
from neanias_ml.inference.windows import plan_windows
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.classes import CLASS_NAMES

if TYPE_CHECKING:
    from neanias_ml.models.association.bundle import GraphBundle
    from neanias_ml.models.morphology.bundle import MorphologyBundle

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""


@dataclass(frozen=True)
class DetectionCounts:
    """What happened in the windows, for the run's manifest."""

    windows: int
    detections: int
    detections_without_island: int
    detections_beyond_limit: int
    unions_beyond_limit: int = 0
    windows_on_cpu: int = 0


class ObjectDetector:
    """Runs a model bundle over an extraction.

    Parameters
    ----------
    bundle
        The detector with its settings.
    association
        The network that groups islands; without it, masks of the detector that cover several islands join them.
    morphology
        The network that says what extended objects are; without it that stays empty.
    association_threshold
        Probability above which two islands are linked, by default that of the association network; without one, least
        probability of ``extended-multisland`` with which a mask joins the islands that it covers, by default the
        detector's score threshold of that class.

    Raises
    ------
    UsageError
        ``AssociationThreshold`` if it is out of range.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        association: GraphBundle | None = None,
        morphology: MorphologyBundle | None = None,
        association_threshold: float | None = None,
    ) -> None:
        self.bundle = bundle
        self.morphology = morphology
        if association is None:
            default = bundle.model.operating_point.score_thresholds[MULTI_COLUMN]
        else:
            default = association.settings.threshold
        self.association_threshold = default if association_threshold is None else association_threshold
        self.association = None if association is None else with_threshold(association, self.association_threshold)
        if not 0.0 <= self.association_threshold <= 1.0:
            raise UsageError(
                "AssociationThreshold", f"the association threshold must lie in [0, 1], not {association_threshold}"
            )
        self.timings: dict[str, float] = {}
        self.counts = DetectionCounts(0, 0, 0, 0)

    def __call__(self, extraction: Extraction, *, progress: Progress | None = None) -> ObjectCatalogue:
        """Detect, associate, classify and measure the objects of one map."""
        report = progress or (lambda stage, done, total: None)
        self.timings = {}
        with self._timed("network"):
            results = self._run_windows(extraction, report)
            detections = _gather(results, extraction.islands.table.island_id)
        with self._timed("association"):
            associated = self._associate(extraction, results, detections, report)
        with self._timed("objects"):
            objects = _object_table(extraction, associated)
        if self.morphology is not None:
            with self._timed("morphology"):
                objects = with_morphology(objects, extraction, bundle=self.morphology, progress=report)
        self.counts = DetectionCounts(
            windows=len(results),
            detections=len(detections),
            detections_without_island=sum(result.n_without_island for result in results),
            detections_beyond_limit=sum(result.n_dropped for result in results),
            unions_beyond_limit=sum(result.n_unions_left_out for result in results),
            windows_on_cpu=sum(result.on_cpu for result in results),
        )
        return ObjectCatalogue(
            objects=objects,
            island_object_ids=_object_ids(associated, len(extraction.islands)),
            island_spurious=associated.island_spurious,
            detections=detections,
        )

    def warnings(self) -> tuple[str, ...]:
        """Sentences about the last map that its user should know."""
        counts, said = self.counts, []
        if counts.detections_beyond_limit:
            limit = self.bundle.settings.architecture.detections_per_window
            said.append(
                f"{counts.detections_beyond_limit} detections beyond the network's limit of {limit} per 256 x 256 "
                "pixels of its grid were left out; the field is crowded"
            )
        if counts.windows_on_cpu:
            said.append(
                f"{counts.windows_on_cpu} of {counts.windows} windows did not fit into the memory of the GPU and were "
                "run on the CPU; choose --device cpu, or free the GPU"
            )
        return tuple(said)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[stage] = time.perf_counter() - started

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

    def _associate(
        self, extraction: Extraction, results: list[WindowResult], detections: Detections, report: Progress
    ) -> Association:
        islands = extraction.islands.table
        readout, spurious = np.zeros((len(islands), len(CLASS_NAMES) + 1)), np.zeros(len(islands))
        for result in results:
            readout[result.rows], spurious[result.rows] = result.probabilities, result.spurious
        if self.association is None or len(islands) == 0:
            return associate_by_masks(
                detections,
                islands.island_id,
                readout=readout,
                spurious=spurious,
                threshold=self.association_threshold,
            )
        report("association", 0, 1)
        grouping = grouping_of(self.association, extraction)
        associated = associate_by_graph(grouping, detections, islands, readout=readout, spurious=spurious)
        report("association", 1, 1)
        return associated


def _object_table(extraction: Extraction, associated: Association) -> ObjectTable:
    """Measured objects with their most probable class."""
    return measure_objects(
        extraction,
        associated.groups,
        class_names=[CLASS_NAMES[index] for index in associated.probabilities.argmax(axis=1)],
        probabilities=associated.probabilities,
        association_probability=associated.joined_probability,
    )


def _object_ids(associated: Association, n_islands: int) -> NDArray[np.int64]:
    """Object id of each island: the smallest id of the object's islands."""
    object_ids = np.zeros(n_islands, dtype=np.int64)
    for group in associated.groups:
        object_ids[np.array(group.island_ids) - 1] = group.island_ids[0]
    return object_ids


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
