"""From the columns of the compiled loops to fitted components: units, bias, grades, moments where no fit holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_batch import FitColumns
from neanias_ml.extraction.components.fit_moments import moment_components
from neanias_ml.extraction.components.fit_preparation import Prepared
from neanias_ml.extraction.components.fit_results import FittedComponents, FittedIslands
from neanias_ml.extraction.components.least_squares import CONVERGED
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.tables import SourceFlag

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GOOD_RESIDUAL = (1.6, 0.02)
"""Largest root mean square residual of a good fit in units of the noise, or of the peak."""
FAIR_RESIDUAL = (2.5, 0.08)
"""The same of an acceptable fit."""
LARGEST_BIAS = 0.3
"""The peak bias is a first-order result; beyond this it is not trusted in full."""


def assembled(
    part: Prepared, columns: FitColumns, *, pixels: IslandPixels, rows: IntArray, beam_covariance: FloatArray
) -> FittedComponents:
    """Components of the islands ``rows``, in map pixels and Jy/beam.

    Parameters
    ----------
    part, columns
        What went into the compiled loops and what came out of them.
    pixels
        The same islands with all their pixels, for moments.
    rows
        (N,) numbers of the islands.
    beam_covariance
        (2, 2) pixel covariance of the beam.
    """
    most = len(columns.free) // max(1, len(rows))
    used = (np.arange(most) < columns.found[:, None]).ravel()
    parameters, errors, free = columns.parameters[used], columns.errors[used], columns.free[used]
    island = np.repeat(np.arange(len(rows)), columns.found)
    first = np.cumsum(columns.found) - columns.found
    sound = np.isfinite(parameters).all(axis=1) & np.isfinite(errors).all(axis=(1, 2))
    failed = ~np.isfinite(columns.criterion) | (np.bincount(island[~sound], minlength=len(rows)) > 0)
    beam_area = 2.0 * np.pi * float(np.sqrt(np.linalg.det(beam_covariance)))
    islands = _judged(part, columns, failed, np.exp(parameters[first, 0]), beam_area)
    parameters[:, 0] += np.log(part.unit[island])
    parameters[:, 1] += part.x0[island]
    parameters[:, 2] += part.y0[island]
    excess = amplitude_bias(parameters, errors, emphasised=~part.data.plane[island])
    bias = np.where(free | failed[island], 0.0, np.minimum(excess, LARGEST_BIAS))
    parameters[:, 0] += np.log1p(-bias)
    at = first[failed]
    if len(at):
        alone = pixels.select(np.flatnonzero(failed))
        parameters[at], errors[at] = moment_components(alone, beam_covariance=beam_covariance)
        free[at] = True
    keep = ~failed[island]
    keep[at] = True
    island = island[keep]
    flags = int(SourceFlag.MANY_COMPONENTS) * part.lost.astype(np.int64)
    flags |= int(SourceFlag.FIT_FAILED) * failed.astype(np.int64)
    return FittedComponents(
        island_row=rows[island],
        parameters=parameters[keep],
        errors=errors[keep],
        shape_fixed=~free[keep],
        quality=islands.quality[island],
        flags=flags[island],
        peak_bias=bias[keep],
        residual_rms=np.where(failed, np.nan, islands.residual_rms)[island],
        islands=islands,
    )


def amplitude_bias(parameters: FloatArray, errors: FloatArray, *, emphasised: BoolArray) -> FloatArray:
    """Relative excess (K,) of amplitudes that were maximised over the position.

    A fit with the source's own shape S as template and weights of the profile S / p is the maximum of the map filtered
    with a Gaussian of covariance S / (1 + p): the amplitude falls off as exp(-d S^-1 d / (2 a)) with the offset d,
    where a = 1 + 1 / (1 + p). Maximising over a position with error covariance C_xy wins half the curvature times C_xy,
    tr(S^-1 C_xy) / (2 a). With equal weights (a = 2) that is sigma^2 / A^2 for a beam-shaped source in beam-correlated
    noise, the well-known bias of a maximum over two coordinates; where the fit has ``emphasised`` (K,) the profile of a
    beam-shaped source, a = 3 / 2.
    """
    l11, l21, l22 = np.exp(parameters[:, 3]), parameters[:, 4], np.exp(parameters[:, 5])
    trace = (l21**2 + l22**2) * errors[:, 1, 1] + l11**2 * errors[:, 2, 2] - 2.0 * l11 * l21 * errors[:, 1, 2]
    return np.asarray(np.where(emphasised, 1.0 / 3.0, 0.25) * trace / (l11 * l22) ** 2)


def _judged(
    part: Prepared, columns: FitColumns, failed: BoolArray, peak: FloatArray, beam_area: float
) -> FittedIslands:
    """Grades and goodness of fit of the islands, whose brightest components have a ``peak`` in units of the noise."""
    data = np.diff(part.data.offsets)
    correlated = np.maximum(1.0, beam_area / part.data.step**2)
    residual = np.sqrt(columns.squares / data)
    relative = residual / peak
    converged = columns.ended == CONVERGED
    good = converged & ((residual < GOOD_RESIDUAL[0]) | (relative < GOOD_RESIDUAL[1]))
    fair = converged & ((residual < FAIR_RESIDUAL[0]) | (relative < FAIR_RESIDUAL[1]))
    quality = np.where(good, 3, np.where(fair, 2, 1))
    return FittedIslands(
        n_components=np.where(failed, 1, columns.found),
        n_data=data,
        chi2=columns.squares / correlated,
        ndf=data / correlated - columns.parameter_count,
        bic=columns.criterion,
        residual_rms=residual,
        relative_residual=relative,
        plane_level=columns.plane[:, 0] * part.unit,
        quality=np.where(failed, 0, quality),
    )
