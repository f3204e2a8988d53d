"""Sizes and angles between the pixels of a map and the sky, for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.tables import ComponentTable, IslandTable
from neanias_ml.maps import FWHM_PER_SIGMA, RadioMap, tangent_offsets

FloatArray = NDArray[np.float64]
DEGREES_TO_ARCSEC = 3600.0


def tangent_jacobians(radio_map: RadioMap, x: FloatArray, y: FloatArray) -> FloatArray:
    """Derivatives (N, 2, 2) of tangent-plane offsets (east, north; degrees) by pixel at positions (N,).

    The same as `RadioMap.tangent_jacobian` at each position, in one conversion: central differences over one
    pixel; east is -x and north is +y where the map has no sky.
    """
    jacobians = np.tile([[-radio_map.pixel_scale, 0.0], [0.0, radio_map.pixel_scale]], (len(x), 1, 1))
    if radio_map.sky is None or len(x) == 0:
        return jacobians
    steps_x = np.array([0.0, 0.5, -0.5, 0.0, 0.0])
    steps_y = np.array([0.0, 0.0, 0.0, 0.5, -0.5])
    ra, dec = radio_map.sky.to_sky((x[:, None] + steps_x).ravel(), (y[:, None] + steps_y).ravel())
    ra, dec = ra.reshape(-1, 5), dec.reshape(-1, 5)
    east, north = tangent_offsets(ra[:, :1], dec[:, :1], ra[:, 1:], dec[:, 1:])
    offsets = np.stack([east, north], axis=1)
    measured = offsets[:, :, 0::2] - offsets[:, :, 1::2]
    usable = np.isfinite(measured).all(axis=(1, 2))
    jacobians[usable] = measured[usable]
    return jacobians


def covariances_of_ellipses(major: FloatArray, minor: FloatArray, angle: FloatArray) -> FloatArray:
    """Covariances (N, 2, 2) of Gaussians of given FWHM axes and angle (degrees) from the first axis to the second."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along = np.stack([cosine, sine], axis=1)
    across = np.stack([-sine, cosine], axis=1)
    return (major / FWHM_PER_SIGMA)[:, None, None] ** 2 * along[:, :, None] * along[:, None, :] + (
        minor / FWHM_PER_SIGMA
    )[:, None, None] ** 2 * across[:, :, None] * across[:, None, :]


def ellipses_of_covariances(covariances: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """FWHM axes and angle in [0, 180) degrees from the first axis to the second of covariances (N, 2, 2)."""
    values, vectors = np.linalg.eigh(covariances)
    axes = FWHM_PER_SIGMA * np.sqrt(np.maximum(values, 0.0))
    angle = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1])) % 180.0
    return axes[:, 1], axes[:, 0], angle


def island_sky_ellipses(radio_map: RadioMap, islands: IslandTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Moment axes (arcsec) and position angle (degrees east of north) of islands, each (N,)."""
    in_pixels = covariances_of_ellipses(islands.major, islands.minor, islands.pixel_angle)
    jacobians = tangent_jacobians(radio_map, islands.x, islands.y)
    on_sky = jacobians @ in_pixels @ jacobians.transpose(0, 2, 1)
    major, minor, east_to_north = ellipses_of_covariances(on_sky)
    return major * DEGREES_TO_ARCSEC, minor * DEGREES_TO_ARCSEC, (90.0 - east_to_north) % 180.0


def component_pixel_covariances(radio_map: RadioMap, components: ComponentTable) -> FloatArray:
    """Pixel covariances (N, 2, 2), axes (x, y), of the fitted Gaussians."""
    on_sky = covariances_of_ellipses(
        components.major / DEGREES_TO_ARCSEC, components.minor / DEGREES_TO_ARCSEC, 90.0 - components.pa
    )
    to_pixels = np.linalg.inv(tangent_jacobians(radio_map, components.x, components.y))
    return to_pixels @ on_sky @ to_pixels.transpose(0, 2, 1)
