"""Ellipses of fitted Gaussians with errors, and what is left of them without the beam.

All runs on covariances ``(a, b, c)`` = (east-east, east-north, north-north) and their error covariance. Taking the
beam out is a difference of covariances, which equals the textbook formula for fitted and beam axes and angles (Wild
1970) and keeps the errors: the beam is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.maps import FWHM_PER_SIGMA, position_angle

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RESOLVED_SIGMA = 2.0
"""An axis is resolved when its variance without the beam exceeds 0 by this many errors."""
LARGEST_ANGLE_ERROR = 90.0
"""Degrees: nothing is known about the angle."""


@dataclass(frozen=True)
class Ellipses:
    """Full widths at half maximum and position angles (degrees in [0, 180)) of K Gaussians, with one-sigma errors.

    Attributes
    ----------
    major, minor, angle
        (K,) widths in the root of the covariances' unit; 0 for negative variances.
    major_err, minor_err, angle_err
        (K,) errors.
    """

    major: FloatArray
    minor: FloatArray
    angle: FloatArray
    major_err: FloatArray
    minor_err: FloatArray
    angle_err: FloatArray


@dataclass(frozen=True)
class Deconvolved:
    """Ellipses without the beam; widths are upper limits (and their errors NaN) where axes are not resolved.

    Attributes
    ----------
    ellipses
        The widths, angles and errors.
    unresolved
        (K,) neither axis is resolved; the angle is NaN.
    minor_unresolved
        (K,) the major axis alone is resolved.
    """

    ellipses: Ellipses
    unresolved: BoolArray
    minor_unresolved: BoolArray


def covariance_errors(parameters: FloatArray, errors: FloatArray, jacobians: FloatArray) -> FloatArray:
    """Error covariance (K, 3, 3) of sky covariances (a, b, c) from that of fitted parameters.

    Parameters
    ----------
    parameters, errors
        (K, 6) and (K, 6, 6) as in `FittedComponents`.
    jacobians
        (K, 2, 2) derivative of (east, north) by (x, y).
    """
    l11, l21, l22 = np.exp(parameters[:, 3]), parameters[:, 4], np.exp(parameters[:, 5])
    zero = np.zeros_like(l11)
    by_parameters = np.stack(
        [
            np.stack([2.0 * l11**2, zero, zero], axis=1),
            np.stack([l11 * l21, l11, zero], axis=1),
            np.stack([zero, 2.0 * l21, 2.0 * l22**2], axis=1),
        ],
        axis=1,
    )
    ex, ey, nx, ny = jacobians[:, 0, 0], jacobians[:, 0, 1], jacobians[:, 1, 0], jacobians[:, 1, 1]
    to_sky = np.stack(
        [
            np.stack([ex * ex, 2.0 * ex * ey, ey * ey], axis=1),
            np.stack([ex * nx, ex * ny + ey * nx, ey * ny], axis=1),
            np.stack([nx * nx, 2.0 * nx * ny, ny * ny], axis=1),
        ],
        axis=1,
    )
    chain = to_sky @ by_parameters
    return np.asarray(chain @ errors[:, 3:, 3:] @ np.swapaxes(chain, 1, 2))


def ellipses_with_errors(covariance: FloatArray, errors: FloatArray) -> Ellipses:
    """Ellipses of covariances (K, 2, 2), axes (east, north), whose elements have error covariances (K, 3, 3)."""
    values, angle, gradient, by_angle = _axes_and_gradients(covariance)
    variance = np.einsum("kij,kjl,kil->ki", gradient, errors, gradient)
    width = FWHM_PER_SIGMA * np.sqrt(np.maximum(values, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        width_err = np.where(width > 0.0, 0.5 * FWHM_PER_SIGMA**2 * np.sqrt(variance) / width, np.nan)
    angle_variance = np.einsum("ki,kij,kj->k", by_angle, errors, by_angle)
    angle_err = np.minimum(np.degrees(np.sqrt(np.maximum(angle_variance, 0.0))), LARGEST_ANGLE_ERROR)
    return Ellipses(
        width[:, 0], width[:, 1], position_angle(np.degrees(angle)), width_err[:, 0], width_err[:, 1], angle_err
    )


def _axes_and_gradients(covariance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Variances (K, 2) along the axes, angle (K,) from east to north, and their gradients (K, 2, 3), (K, 3).

    The angle of a round Gaussian is undefined; its gradient is made very large there, not infinite.
    """
    a, b, c = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    half_sum, half_difference = 0.5 * (a + c), 0.5 * (a - c)
    spread = np.hypot(half_difference, b)
    floor = np.maximum(spread, 1e-9 * np.abs(half_sum) + 1e-300)
    cosine = np.where(spread > 0.0, half_difference / floor, 1.0)
    sine = b / floor
    along = np.stack([0.5 + 0.5 * cosine, sine, 0.5 - 0.5 * cosine], axis=1)
    across = np.stack([0.5 - 0.5 * cosine, -sine, 0.5 + 0.5 * cosine], axis=1)
    by_angle = 0.5 * np.stack([-0.5 * sine, cosine, 0.5 * sine], axis=1) / floor[:, None]
    values = np.stack([half_sum + spread, half_sum - spread], axis=1)
    return values, 0.5 * np.arctan2(b, half_difference), np.stack([along, across], axis=1), by_angle


def deconvolved_ellipses(
    fitted: FloatArray, beam: FloatArray, errors: FloatArray, *, fixed: BoolArray, snr: FloatArray
) -> Deconvolved:
    """Take the beam out of fitted shapes.

    Parameters
    ----------
    fitted, beam
        (K, 2, 2) sky covariances of the components and of the beam where they are.
    errors
        (K, 3, 3) error covariance of the fitted ones.
    fixed
        (K,) components whose shape was held at the beam's. Their widths have the error that a free fit of a point
        source has in beam-correlated noise, the width over ``snr`` (Condon 1997, equations 21 and 41).
    snr
        (K,) peak over noise.

    Returns
    -------
    Deconvolved
        An axis is resolved if its variance is positive by `RESOLVED_SIGMA` errors; else its limit is the width of
        the variance (0 if negative) plus as many errors.
    """
    shape = ellipses_with_errors(fitted - beam, errors)
    values, _, gradient, _ = _axes_and_gradients(fitted - beam)
    error = np.sqrt(np.maximum(np.einsum("kij,kjl,kil->ki", gradient, errors, gradient), 0.0))
    beam_values = _axes_and_gradients(beam)[0]
    of_points = beam_values * 2.0 / np.maximum(snr, 1.0)[:, None]
    values = np.where(fixed[:, None], 0.0, values)
    error = np.where(fixed[:, None], of_points, error)
    limit = FWHM_PER_SIGMA * np.sqrt(np.maximum(values, 0.0) + RESOLVED_SIGMA * error)
    resolved = (values > RESOLVED_SIGMA * error) & ~fixed[:, None]
    unresolved = ~resolved[:, 0]
    minor_unresolved = resolved[:, 0] & ~resolved[:, 1]
    open_minor = unresolved | minor_unresolved
    major = np.where(unresolved, limit[:, 0], shape.major)
    return Deconvolved(
        ellipses=Ellipses(
            major=major,
            minor=np.where(open_minor, np.minimum(limit[:, 1], major), shape.minor),
            angle=np.where(unresolved, np.nan, shape.angle),
            major_err=np.where(unresolved, np.nan, shape.major_err),
            minor_err=np.where(open_minor, np.nan, shape.minor_err),
            angle_err=np.where(unresolved, np.nan, shape.angle_err),
        ),
        unresolved=unresolved,
        minor_unresolved=minor_unresolved,
    )
