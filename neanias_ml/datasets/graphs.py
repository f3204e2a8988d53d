"""`IslandGraph`: islands of a field, the pairs of them that may be parts of one object, and what lies between.

All lengths are counted in beam widths (geometric mean FWHM) and all fluxes in the local noise, so that one network
serves every survey. What a network is fed with is made of these columns when it is needed
(`neanias_ml.models.association.features`); here is only what has to be measured on the map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.columns import Columns
from neanias_ml.datasets.graph_bridges import Bridges, measure_bridges
from neanias_ml.datasets.graph_crop_values import no_crops
from neanias_ml.datasets.tiles import IGNORED

if TYPE_CHECKING:  # graphs are read on machines that cannot extract
    from neanias_ml.extraction.artefacts.features import ArtefactFeatures
    from neanias_ml.extraction.tables import Extraction, IslandTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FloatMap = NDArray[np.float32]

NEIGHBOURS = 12
"""Two islands are a pair when one is among this many nearest of the other ..."""
MAX_SEPARATION = 60.0
"""... and their centroids are at most this many beam widths apart."""
UNLABELLED = -2
"""Instance of an island of which is known only that it belongs to none of the labelled objects."""
EVIDENCE = (
    "culprit_distance", "culprit_ratio", "radial_elongation", "ray_excess", "ring_excess", "mirror_ratio",
    "echo_evidence", "noise_excess", "ring_snr", "around_rms", "deepest_negative", "hole_depth", "near_hole",
    "opposite_holes", "plateau", "negative_share", "skewness", "negatives_around", "islands_around", "far_snr",
    "size_ratio", "area_ratio",
)  # fmt: skip
"""Columns of `neanias_ml.extraction.artefacts.features.ArtefactFeatures` that graphs keep of each island."""


@dataclass(frozen=True)
class GraphIslands(Columns):
    """Islands as nodes; lengths in beam widths, axes of the map's pixel grid."""

    x: FloatArray
    """flux-weighted centroid"""
    y: FloatArray
    peak_x: FloatArray
    """brightest pixel"""
    peak_y: FloatArray
    peak_snr: FloatArray
    """peak over noise"""
    total_snr: FloatArray
    """total flux over the noise per beam"""
    major: FloatArray
    """FWHM of second moments"""
    minor: FloatArray
    angle: FloatArray
    """of the major axis from +x towards +y, radians"""
    n_beams: FloatArray
    """area in beam areas"""

    @property
    def positions(self) -> FloatArray:
        """(I, 2) centroids, x and y."""
        return np.stack([self.x, self.y], axis=1)


@dataclass(frozen=True)
class IslandGraph:
    """The islands of one field and the pairs that may belong together.

    Attributes
    ----------
    islands
        (I,) nodes.
    pairs
        (E, 2) rows of islands, the smaller first, in ascending order.
    bridges
        (E,) what the map shows between the islands of each pair.
    evidence
        (I, len(`EVIDENCE`)) what speaks for and against artefacts; NaN where it is not known.
    crops
        (I, 3, S, S) the map around each island, see `neanias_ml.datasets.graph_crops.island_crops`; (I, 0, S, S)
        without a map.
    instance
        (I,) object of each island, 1, 2, ...; 0 for an island of no object, `IGNORED` where unknown, `UNLABELLED` where
        only known to be of no labelled object.
    object_class
        (I,) class label of that object, index in ``CLASS_NAMES`` + 1; 0 where there is none or it is unknown.
    field
        Name of the sky field.
    """

    islands: GraphIslands
    pairs: IntArray
    bridges: Bridges
    evidence: NDArray[np.float32]
    crops: NDArray[np.int8]
    instance: IntArray
    object_class: IntArray
    field: str = ""

    def __post_init__(self) -> None:
        if self.pairs.shape != (len(self.bridges), 2):
            raise ValueError(f"{len(self.bridges)} bridges do not fit pairs of shape {self.pairs.shape}")
        if self.evidence.shape != (len(self.islands), len(EVIDENCE)):
            raise ValueError(f"{len(self.islands)} islands do not fit evidence of shape {self.evidence.shape}")
        for name in ("crops", "instance", "object_class"):
            if len(getattr(self, name)) != len(self.islands):
                raise ValueError(f"{len(self.islands)} islands do not fit {len(getattr(self, name))} rows of {name}")

    def __len__(self) -> int:
        return len(self.islands)

    @property
    def known_pairs(self) -> NDArray[np.bool_]:
        """(E,) whether it is known if both islands are of one object."""
        instance = self.instance[self.pairs]
        apart = (instance == UNLABELLED).any(axis=1) & (instance > 0).any(axis=1)
        known: NDArray[np.bool_] = (instance >= 0).all(axis=1) | apart
        return known

    @property
    def joined_pairs(self) -> NDArray[np.bool_]:
        """(E,) whether both islands are of one object."""
        one, other = self.instance[self.pairs].T
        joined: NDArray[np.bool_] = (one == other) & (one > 0)
        return joined

    @property
    def n_grouped(self) -> int:
        """Objects of at least two islands."""
        return int((np.unique(self.instance[self.instance > 0], return_counts=True)[1] >= 2).sum())

    def select(self, keep: NDArray[np.bool_]) -> IslandGraph:
        """The graph of some of its islands, without the pairs of the others."""
        number = np.cumsum(keep) - 1
        rows = keep[self.pairs].all(axis=1)
        return replace(
            self,
            islands=self.islands.select(keep),
            pairs=number[self.pairs[rows]].reshape(-1, 2),
            bridges=self.bridges.select(rows),
            evidence=self.evidence[keep],
            crops=self.crops[keep],
            instance=self.instance[keep],
            object_class=self.object_class[keep],
        )

    def select_pairs(self, keep: NDArray[np.bool_]) -> IslandGraph:
        """The graph with some of its pairs."""
        return replace(self, pairs=self.pairs[keep], bridges=self.bridges.select(keep))

    @classmethod
    def without_map(cls, islands: GraphIslands, *, field: str = "") -> IslandGraph:
        """The graph of islands or components of which nothing but a catalogue is known."""
        pairs = candidate_pairs(islands.positions)
        count = len(islands)
        return cls(
            islands=islands,
            pairs=pairs,
            bridges=Bridges.unknown(len(pairs)),
            evidence=np.full((count, len(EVIDENCE)), np.nan, dtype=np.float32),
            crops=no_crops(count),
            instance=np.full(count, IGNORED, dtype=np.int64),
            object_class=np.zeros(count, dtype=np.int64),
            field=field,
        )

    @classmethod
    def empty(cls, field: str = "") -> IslandGraph:
        """No islands."""
        return cls.without_map(GraphIslands.empty(), field=field)


def island_graph(extraction: Extraction, *, significance: FloatMap, field: str = "") -> IslandGraph:
    """The graph of a map's islands, of whose objects nothing is known.

    Parameters
    ----------
    extraction
        The map and its islands, with the evidence on artefacts where that was looked at.
    significance
        (ny, nx) signal to noise, NaN where blank.
    field
        Name of the field.
    """
    from neanias_ml.datasets.graph_crops import island_crops

    table, labels = extraction.islands.table, extraction.islands.labels
    beam_fwhm = extraction.radio_map.beam_fwhm
    graph = IslandGraph.without_map(graph_islands(table, beam_fwhm=beam_fwhm), field=field)
    bridges = measure_bridges(
        np.stack([table.x, table.y], axis=1),
        graph.pairs,
        significance=significance,
        labels=labels,
        beam_fwhm=beam_fwhm,
    )
    boxes = np.stack([table.x0, table.y0, table.x1, table.y1], axis=1).astype(np.int64)
    crops = island_crops(boxes, significance=significance, labels=labels, beam_fwhm=beam_fwhm)
    evidence = graph.evidence if extraction.evidence is None else evidence_matrix(extraction.evidence)
    return replace(graph, bridges=bridges, crops=crops, evidence=evidence)


def evidence_matrix(features: ArtefactFeatures) -> NDArray[np.float32]:
    """(I, len(`EVIDENCE`)) columns of a table of evidence."""
    return np.stack([getattr(features, name) for name in EVIDENCE], axis=1).astype(np.float32)


def graph_islands(table: IslandTable, *, beam_fwhm: float) -> GraphIslands:
    """Rows of a table of islands in beam widths and units of the noise."""
    return GraphIslands(
        x=table.x / beam_fwhm,
        y=table.y / beam_fwhm,
        peak_x=table.peak_x / beam_fwhm,
        peak_y=table.peak_y / beam_fwhm,
        peak_snr=table.snr,
        total_snr=table.total_flux / table.local_rms,
        major=table.major / beam_fwhm,
        minor=table.minor / beam_fwhm,
        angle=np.radians(table.pixel_angle),
        n_beams=table.n_beams,
    )


def candidate_pairs(
    positions: FloatArray, *, neighbours: int = NEIGHBOURS, max_separation: float = MAX_SEPARATION
) -> IntArray:
    """(E, 2) pairs of which one is among the nearest neighbours of the other, the smaller row first, in order.

    Either direction will do: asking for both would lose the lobes of large sources in crowded fields.

    Parameters
    ----------
    positions
        (I, 2) beam widths.
    neighbours
        Nearest neighbours of each.
    max_separation
        Beam widths.
    """
    count = min(neighbours + 1, len(positions))
    if count < 2:
        return np.empty((0, 2), dtype=np.int64)
    distance, other = cKDTree(positions).query(positions, k=count)
    rows = np.repeat(np.arange(len(positions)), count)
    near = (distance.ravel() <= max_separation) & (rows != other.ravel())
    ends = np.sort(np.stack([rows[near], other.ravel()[near]], axis=1), axis=1)
    return np.unique(ends, axis=0).astype(np.int64).reshape(-1, 2)
