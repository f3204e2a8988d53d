"""`IslandGraph`: islands of a field, the pairs of them that may be parts of one object, and what lies between.

All lengths are counted in beam widths (geometric mean FWHM) and all fluxes in the local noise, so that one network
serves every survey. What a network is fed with is made of these columns when it is needed
(`neanias_ml.models.association.features`); here is only what has to be measured on the map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.columns import Columns
from neanias_ml.datasets.graph_bridges import Bridges, measure_bridges
from neanias_ml.datasets.tiles import IGNORED

if TYPE_CHECKING:  # graphs are read on machines that cannot extract
    from neanias_ml.extraction.tables import Islands, IslandTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FloatMap = NDArray[np.float32]

NEIGHBOURS = 12
"""Two islands are a pair when one is among this many nearest of the other ..."""
MAX_SEPARATION = 60.0
"""... and their centroids are at most this many beam widths apart."""


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
    p_spurious: FloatArray
    """probability of an imaging artefact; NaN where that was not looked at"""

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
    instance
        (I,) object of each island, 1, 2, ...; 0 for an island of no object, `IGNORED` where unknown.
    field
        Name of the sky field.
    """

    islands: GraphIslands
    pairs: IntArray
    bridges: Bridges
    instance: IntArray
    field: str = ""

    def __post_init__(self) -> None:
        if self.pairs.shape != (len(self.bridges), 2) or self.instance.shape != (len(self.islands),):
            raise ValueError(
                f"{len(self.islands)} islands and {len(self.bridges)} bridges do not fit arrays of "
                f"{self.instance.shape} instances and {self.pairs.shape} pairs"
            )

    def __len__(self) -> int:
        return len(self.islands)

    @property
    def known_pairs(self) -> NDArray[np.bool_]:
        """(E,) whether it is known of both islands what they belong to."""
        known: NDArray[np.bool_] = (self.instance[self.pairs] != IGNORED).all(axis=1)
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
            instance=self.instance[keep],
        )

    def select_pairs(self, keep: NDArray[np.bool_]) -> IslandGraph:
        """The graph with some of its pairs."""
        return replace(self, pairs=self.pairs[keep], bridges=self.bridges.select(keep))

    @classmethod
    def empty(cls, field: str = "") -> IslandGraph:
        """No islands."""
        none: Any = np.empty((0, 2), dtype=np.int64)
        return cls(GraphIslands.empty(), none, Bridges.empty(), np.empty(0, dtype=np.int64), field)


def island_graph(
    islands: Islands,
    *,
    significance: FloatMap,
    beam_fwhm: float,
    instance: IntArray | None = None,
    field: str = "",
) -> IslandGraph:
    """The graph of a map's islands.

    Parameters
    ----------
    islands
        Islands of the map, with the evidence on artefacts in their table where that was looked at.
    significance
        (ny, nx) signal to noise, NaN where blank.
    beam_fwhm
        Geometric mean of the beam's axes, pixels.
    instance
        (I,) object of each island; unknown when omitted.
    field
        Name of the field.
    """
    nodes = graph_islands(islands.table, beam_fwhm=beam_fwhm)
    pairs = candidate_pairs(nodes.positions)
    bridges = measure_bridges(
        np.stack([islands.table.x, islands.table.y], axis=1),
        pairs,
        significance=significance,
        labels=islands.labels,
        beam_fwhm=beam_fwhm,
    )
    unknown = np.full(len(nodes), IGNORED, dtype=np.int64)
    return IslandGraph(nodes, pairs, bridges, unknown if instance is None else instance, field)


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
        p_spurious=table.p_spurious,
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
