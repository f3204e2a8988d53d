"""The emission of an island underneath the sources inside it: the level on which their fits stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.gather import disc_half_widths
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.pedestal_kernels import planes_under
from neanias_ml.maps import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from neanias_ml.extraction.nested.find import NestedIslands

FloatArray = NDArray[np.float64]

GAP_BEAMS = 0.25
"""Distance in FWHM between a nested island and the ring around it: its own wings end there."""
RING_BEAMS = 1.0
"""Width of the ring in FWHM."""
BEAM_PIXELS = math.pi / (4.0 * math.log(2.0))
"""Area of a Gaussian beam over the square of its FWHM."""


@dataclass(frozen=True)
class Pedestals:
    """Planes of emission underneath N nested islands.

    Attributes
    ----------
    value, error
        (N,) Jy/beam at (y, x), and its error; zero and NaN where nothing of the mother is around.
    y, x
        (N,) centroid of the nested island's pixels.
    slope
        (N, 2) Jy/beam per pixel along y and x; zero where the mother surrounds the island on one side only.
    n_pixels
        (N,) int64 pixels of the ring that were used.
    """

    value: FloatArray
    error: FloatArray
    y: FloatArray
    x: FloatArray
    slope: FloatArray
    n_pixels: NDArray[np.int64]

    def at(self, row: int, y: FloatArray, x: FloatArray) -> FloatArray:
        """Pedestal of one nested island at places of the map, Jy/beam."""
        return self.value[row] + self.slope[row, 0] * (y - self.y[row]) + self.slope[row, 1] * (x - self.x[row])


def local_pedestal(mothers: IslandPixels, nested: NestedIslands, *, beam_covariance: FloatArray) -> Pedestals:
    """Emission of the enclosing island underneath each nested one: a clipped plane through a ring around it.

    The ring holds pixels of the mother only; those of nested islands that do not enclose this one are left out.
    The error counts the ring's independent beams.

    Parameters
    ----------
    mothers
        The islands that `find_nested` searched.
    nested
        What it found.
    beam_covariance
        (2, 2) pixel covariance of the beam, pixels squared.
    """
    fwhm = FWHM_PER_SIGMA * float(np.linalg.det(beam_covariance)) ** 0.25
    discs = disc_half_widths(GAP_BEAMS * fwhm), disc_half_widths((GAP_BEAMS + RING_BEAMS) * fwhm)
    planes = np.zeros((len(nested), 7))
    bounds = np.searchsorted(nested.mother_row, np.arange(len(mothers) + 1))
    for row in np.flatnonzero(np.diff(bounds)):
        mother = pixels_of(mothers, int(row)).without_margin()
        first, last = int(bounds[row]), int(bounds[row + 1])
        children = nested.pixels.select(np.arange(first, last))
        parent = np.where(nested.parent[first:last] >= 0, nested.parent[first:last] - first, -1)
        planes[first:last] = planes_under(
            (mother.y, mother.x, mother.flux, mother.noise),
            (children.offsets, children.y, children.x, parent),
            discs,
            BEAM_PIXELS * fwhm**2,
        )
    return Pedestals(
        value=planes[:, 0],
        error=planes[:, 1],
        y=planes[:, 2],
        x=planes[:, 3],
        slope=planes[:, 4:6],
        n_pixels=planes[:, 6].astype(np.int64),
    )


def pixels_of(islands: IslandPixels, row: int) -> IslandPixels:
    """One island, without a copy of its pixels."""
    own = slice(int(islands.offsets[row]), int(islands.offsets[row + 1]))
    return IslandPixels(
        offsets=np.array([0, own.stop - own.start], dtype=np.int64),
        y=islands.y[own],
        x=islands.x[own],
        flux=islands.flux[own],
        noise=islands.noise[own],
        inside=islands.inside[own],
    )
