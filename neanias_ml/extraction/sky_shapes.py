"""Fitted Gaussians on the sky: positions, sizes, angles, fluxes and their errors; deconvolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components import FittedComponent
from neanias_ml.extraction.gaussian_fit import covariance_of
from neanias_ml.extraction.measure import sky_positions
from neanias_ml.extraction.tables import ComponentTable, IslandTable, SourceFlag
from neanias_ml.maps import RadioMap, ellipses_of_covariances, position_angle, transformed

FloatArray = NDArray[np.float64]
ARCSEC = 3600.0
RESOLVED_SIGMA = 2.0
"""A component is resolved when its size exceeds the beam's by this many errors."""


def component_table(radio_map: RadioMap, islands: IslandTable, fitted: list[FittedComponent]) -> ComponentTable:
    """Put fitted components on the sky, one row each, in the order of their islands and brightness."""
    rows = np.array([component.island_row for component in fitted], dtype=np.int64)
    parameters = np.array([component.parameters for component in fitted]).reshape(-1, 6)
    errors = np.array([component.errors for component in fitted]).reshape(-1, 6, 6)
    flags = np.array([component.flags for component in fitted], dtype=np.int64)
    x, y = parameters[:, 1], parameters[:, 2]
    ra, dec, _ = sky_positions(radio_map, x, y)
    jacobians = radio_map.tangent_jacobian(x, y)
    position_error = transformed(errors[:, 1:3, 1:3], jacobians)
    peak, total = np.exp(parameters[:, 0]), total_flux(parameters, radio_map.beam_area)
    log_flux = np.array([1.0, 0, 0, 1.0, 0, 1.0])
    total_err = total * np.sqrt(np.einsum("i,kij,j->k", log_flux, errors, log_flux))
    ellipse = _sky_ellipses(parameters, errors, jacobians)
    deconvolved = _deconvolve(parameters, jacobians, ellipse, radio_map)
    flags = np.where(deconvolved.unresolved, flags | SourceFlag.SIZE_UPPER_LIMIT, flags)
    flags = np.where(deconvolved.minor_unresolved, flags | SourceFlag.MINOR_UPPER_LIMIT, flags)
    return ComponentTable(
        component_id=np.arange(1, len(fitted) + 1),
        island_id=islands.island_id[rows],
        ra=ra,
        dec=dec,
        ra_err=np.where(np.isfinite(ra), np.sqrt(position_error[:, 0, 0]), np.nan),
        dec_err=np.where(np.isfinite(dec), np.sqrt(position_error[:, 1, 1]), np.nan),
        x=x,
        y=y,
        x_err=np.sqrt(errors[:, 1, 1]),
        y_err=np.sqrt(errors[:, 2, 2]),
        peak_flux=peak,
        peak_flux_err=peak * np.sqrt(errors[:, 0, 0]),
        total_flux=total,
        total_flux_err=total_err,
        major=ellipse.value[:, 0] * ARCSEC,
        major_err=ellipse.error[:, 0] * ARCSEC,
        minor=ellipse.value[:, 1] * ARCSEC,
        minor_err=ellipse.error[:, 1] * ARCSEC,
        pa=ellipse.value[:, 2],
        pa_err=np.minimum(ellipse.error[:, 2], 90.0),
        dc_major=deconvolved.major * ARCSEC,
        dc_minor=deconvolved.minor * ARCSEC,
        dc_pa=deconvolved.angle,
        local_rms=islands.local_rms[rows],
        local_background=islands.local_background[rows],
        snr=peak / islands.local_rms[rows],
        fit_quality=np.array([component.quality for component in fitted], dtype=np.int64),
        flags=flags,
    )


def total_flux(parameters: FloatArray, beam_area: float) -> FloatArray:
    """Integrated flux (Jy) of components (K, 6) from their peak (Jy/beam) and area."""
    return 2.0 * math.pi * np.exp(parameters[:, 0] + parameters[:, 3] + parameters[:, 5]) / beam_area


@dataclass(frozen=True)
class _Ellipses:
    """FWHM major, minor (degrees) and position angle (degrees), (K, 3), with one-sigma errors."""

    value: FloatArray
    error: FloatArray


def ellipses_of(covariance: FloatArray) -> FloatArray:
    """FWHM axes and position angle in [0, 180) of covariances (K, 2, 2) in (east, north), as (K, 3)."""
    major, minor, angle = ellipses_of_covariances(covariance)
    return np.stack([major, minor, position_angle(angle)], axis=1)


def _sky_ellipses(parameters: FloatArray, errors: FloatArray, jacobians: FloatArray) -> _Ellipses:
    """Ellipses on the sky; errors by central differences through the whole chain of conversions."""
    value = ellipses_of(transformed(covariance_of(parameters), jacobians))
    gradient = np.empty((len(parameters), 3, 3))
    for column, index in enumerate((3, 4, 5)):
        scale = np.exp(parameters[:, 5]) if index == 4 else np.ones(len(parameters))
        step = 1e-4 * scale
        shifted = []
        for sign in (1.0, -1.0):
            moved = parameters.copy()
            moved[:, index] += sign * step
            shifted.append(ellipses_of(transformed(covariance_of(moved), jacobians)))
        difference = shifted[0] - shifted[1]
        difference[:, 2] = (difference[:, 2] + 90.0) % 180.0 - 90.0
        gradient[:, :, column] = difference / (2.0 * step[:, None])
    variance = np.einsum("kij,kjl,kil->ki", gradient, errors[:, 3:, 3:], gradient)
    return _Ellipses(value, np.sqrt(np.maximum(variance, 0.0)))


@dataclass(frozen=True)
class _Deconvolved:
    """Axes (degrees) and angle without the beam; which components and which minor axes are upper limits."""

    major: FloatArray
    minor: FloatArray
    angle: FloatArray
    unresolved: NDArray[np.bool_]
    minor_unresolved: NDArray[np.bool_]


def _deconvolve(parameters: FloatArray, jacobians: FloatArray, ellipse: _Ellipses, radio_map: RadioMap) -> _Deconvolved:
    """Take the beam out of the fitted shapes (difference of covariances); upper limits where unresolved.

    The beam is the same all over the map in pixels, not in its angle to north, so it is taken out in pixels.
    The limit on an axis is the size that would make it two errors wider than the fit, or than the beam where
    noise has made the fit narrower.
    """
    beam = radio_map.beam_covariance
    fitted = covariance_of(parameters)
    shape = ellipses_of(transformed(fitted - beam, jacobians))
    area_ratio = np.sqrt(np.linalg.det(fitted) / np.linalg.det(beam))
    area_error = area_ratio * np.hypot(*(ellipse.error[:, :2] / ellipse.value[:, :2]).T)
    unresolved = (shape[:, 0] <= 0.0) | (area_ratio - 1.0 < RESOLVED_SIGMA * area_error)
    beam_axes = np.array([radio_map.beam.major, radio_map.beam.minor])
    widest = np.maximum(ellipse.value[:, :2], beam_axes) + RESOLVED_SIGMA * ellipse.error[:, :2]
    limit = np.sqrt(widest**2 - beam_axes**2)
    minor_unresolved = ~unresolved & (shape[:, 1] <= 0.0)
    return _Deconvolved(
        major=np.where(unresolved, limit[:, 0], shape[:, 0]),
        minor=np.where(unresolved | minor_unresolved, np.minimum(limit[:, 1], limit[:, 0]), shape[:, 1]),
        angle=np.where(unresolved, np.nan, shape[:, 2]),
        unresolved=unresolved,
        minor_unresolved=minor_unresolved,
    )
