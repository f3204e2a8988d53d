"""What the component stage hands over: components in pixels, and how well they describe each island."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.extraction.components.fit_model import covariance_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LOG_FLUX = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
"""Derivative of the logarithm of an integrated flux by the parameters."""
LEAST_ACCEPTABLE = 2
"""Least grade of a fit that describes its island."""


@dataclass(frozen=True)
class StartPeaks:
    """Peaks given instead of found: island i starts from ``offsets[i]:offsets[i + 1]``, none meaning to find them.

    Attributes
    ----------
    offsets
        (N + 1,) int64.
    x, y
        (S,) map pixels.
    """

    offsets: IntArray
    x: FloatArray
    y: FloatArray

    def select(self, rows: IntArray) -> StartPeaks:
        """Those of some of the islands, in the order of ``rows``."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return StartPeaks(offsets, self.x[index], self.y[index])


@dataclass(frozen=True)
class FittedIslands(Columns):
    """One row per island: how well its components describe it."""

    n_components: IntArray
    n_data: IntArray
    """pixels used in the fit"""
    chi2: FloatArray
    """sum of squared residuals in units of the noise, over the number of pixels of one independent datum"""
    ndf: FloatArray
    """independent data (pixels over beam area) minus parameters; negative for islands smaller than their model"""
    bic: FloatArray
    """Bayesian information criterion of the chosen model"""
    residual_rms: FloatArray
    """root mean square residual in units of the noise"""
    relative_residual: FloatArray
    """the same over the peak of the brightest component"""
    plane_level: FloatArray
    """fitted plane at the lower left corner of the island's box, Jy/beam; 0 where none was fitted"""
    quality: IntArray
    """3 good: converged, residual at the noise or below 2 per cent of the peak; 2 acceptable: converged, residual
    below 2.5 sigma or 8 per cent; 1 poor: not converged, at a limit, or a larger residual; 0 no fit: moments"""

    @property
    def acceptable(self) -> BoolArray:
        """(N,) whether Gaussians describe the island; where not, its pixels are the better measure."""
        return np.asarray(self.quality >= LEAST_ACCEPTABLE)


@dataclass(frozen=True)
class FittedComponents:
    """K components in the order of the islands and, within each, of brightness.

    Attributes
    ----------
    island_row
        (K,) row of the island.
    parameters
        (K, 6) log amplitude (Jy/beam), x, y (pixels), log l11, l21, log l22 of the Cholesky factor of the pixel
        covariance. The amplitude is free of the bias that maximising over the position brings.
    errors
        (K, 6, 6) error covariance of the parameters; 0 for the shape where it was fixed.
    shape_fixed
        (K,) whether the shape is the beam's, because a free one does not describe the pixels better.
    quality
        (K,) grade of the island's fit, see `FittedIslands`.
    flags
        (K,) `SourceFlag` of the fit (those of the island are not repeated).
    peak_bias
        (K,) relative bias that was taken out of the amplitude.
    residual_rms
        (K,) root mean square residual of the island's fit in units of the noise; NaN without a fit.
    islands
        One row per island.
    """

    island_row: IntArray
    parameters: FloatArray
    errors: FloatArray
    shape_fixed: BoolArray
    quality: IntArray
    flags: IntArray
    peak_bias: FloatArray
    residual_rms: FloatArray
    islands: FittedIslands

    def __len__(self) -> int:
        return len(self.island_row)

    @classmethod
    def joined(cls, parts: list[FittedComponents]) -> FittedComponents:
        """Components (and islands) of several parts, one part after another."""
        if not parts:
            return cls.from_moments(
                np.zeros(0, np.int64), np.zeros((0, 6)), np.zeros((0, 6, 6)), flags=np.zeros(0, np.int64)
            )
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _COMPONENT_COLUMNS
        }
        return cls(**columns, islands=_joined_islands([part.islands for part in parts]))

    @classmethod
    def from_moments(
        cls, rows: IntArray, parameters: FloatArray, errors: FloatArray, *, flags: IntArray
    ) -> FittedComponents:
        """Components of given parameters and errors that no fit has made; they bring no islands."""
        count = len(rows)
        return cls(
            island_row=np.asarray(rows, dtype=np.int64),
            parameters=parameters,
            errors=errors,
            shape_fixed=np.zeros(count, dtype=np.bool_),
            quality=np.zeros(count, dtype=np.int64),
            flags=np.asarray(flags, dtype=np.int64),
            peak_bias=np.zeros(count),
            residual_rms=np.full(count, np.nan),
            islands=_joined_islands([]),
        )

    def select(self, rows: IntArray | BoolArray) -> FittedComponents:
        """Some of the components; all islands stay."""
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in _COMPONENT_COLUMNS})

    def on_rows(self, rows: IntArray) -> FittedComponents:
        """The same components with island i called ``rows[i]``."""
        return dataclasses.replace(self, island_row=np.asarray(rows, dtype=np.int64)[self.island_row])

    def flagged(self, flag: int) -> FittedComponents:
        """The same components with a `SourceFlag` set on all of them."""
        return dataclasses.replace(self, flags=self.flags | int(flag))

    def total_flux(self, beam_area: float) -> FloatArray:
        """(K,) integrated flux, Jy, for a beam of ``beam_area`` pixels."""
        logarithm = self.parameters[:, 0] + self.parameters[:, 3] + self.parameters[:, 5]
        return np.asarray(2.0 * math.pi * np.exp(logarithm) / beam_area)

    def total_flux_error(self, beam_area: float) -> FloatArray:
        """(K,) its standard error, Jy, from the errors of amplitude and shape."""
        relative = np.einsum("i,kij,j->k", LOG_FLUX, self.errors, LOG_FLUX)
        return np.asarray(self.total_flux(beam_area) * np.sqrt(np.maximum(relative, 0.0)))

    @property
    def covariance(self) -> FloatArray:
        """(K, 2, 2) pixel covariances, axes (x, y)."""
        return covariance_of(self.parameters)

    @property
    def amplitude(self) -> FloatArray:
        """(K,) Jy/beam."""
        return np.exp(self.parameters[:, 0])

    @property
    def x(self) -> FloatArray:
        """(K,) pixels."""
        return self.parameters[:, 1]

    @property
    def y(self) -> FloatArray:
        """(K,) pixels."""
        return self.parameters[:, 2]


_ISLAND_COLUMNS = tuple(field.name for field in dataclasses.fields(FittedIslands))
_WHOLE = ("n_components", "n_data", "quality")
_COMPONENT_COLUMNS = tuple(field.name for field in dataclasses.fields(FittedComponents) if field.name != "islands")


def _joined_islands(parts: list[FittedIslands]) -> FittedIslands:
    none = {name: np.zeros(0, dtype=np.int64 if name in _WHOLE else np.float64) for name in _ISLAND_COLUMNS}
    rows: dict[str, Any] = {
        name: np.concatenate([none[name], *(getattr(part, name) for part in parts)]) for name in _ISLAND_COLUMNS
    }
    return FittedIslands(**rows)
