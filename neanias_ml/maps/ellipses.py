"""Gaussians as covariances and as ellipses of full width at half maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.maps.beam import FWHM_PER_SIGMA

FloatArray = NDArray[np.float64]


def covariances_of_ellipses(major: ArrayLike, minor: ArrayLike, angle: ArrayLike) -> FloatArray:
    """Covariances (..., 2, 2) of Gaussians of given FWHM axes and angle (degrees) from the first axis to the second."""
    turn = np.radians(np.asarray(angle, dtype=np.float64))
    along = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    across = np.stack([-np.sin(turn), np.cos(turn)], axis=-1)
    widths = (np.asarray(axis, dtype=np.float64)[..., None, None] / FWHM_PER_SIGMA for axis in (major, minor))
    wide, narrow = (width**2 for width in widths)
    return np.asarray(
        wide * along[..., :, None] * along[..., None, :] + narrow * across[..., :, None] * across[..., None, :]
    )


def ellipses_of_covariances(covariances: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """FWHM axes and angle in [0, 180) degrees from the first axis to the second of covariances (..., 2, 2).

    Negative eigenvalues, as deconvolution can leave them, count as zero width.
    """
    values, vectors = np.linalg.eigh(covariances)
    axes = FWHM_PER_SIGMA * np.sqrt(np.maximum(values, 0.0))
    angle = np.degrees(np.arctan2(vectors[..., 1, 1], vectors[..., 0, 1])) % 180.0
    return axes[..., 1], axes[..., 0], angle


def position_angle(angle: ArrayLike) -> FloatArray:
    """Angle from east to north as position angle, degrees east of north in [0, 180); its own inverse."""
    return np.asarray((90.0 - np.asarray(angle, dtype=np.float64)) % 180.0)


def transformed(covariances: NDArray[np.floating], jacobians: NDArray[np.floating]) -> FloatArray:
    """Covariances (..., 2, 2) carried along by linear maps (..., 2, 2)."""
    return np.asarray(jacobians @ covariances @ np.swapaxes(jacobians, -1, -2))
