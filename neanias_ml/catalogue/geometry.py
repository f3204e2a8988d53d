"""Sizes and angles between the pixels of a map and the sky, for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.tables import ComponentTable, IslandTable
from neanias_ml.maps import RadioMap, covariances_of_ellipses, ellipses_of_covariances, position_angle, transformed

FloatArray = NDArray[np.float64]
DEGREES_TO_ARCSEC = 3600.0


def island_sky_ellipses(radio_map: RadioMap, islands: IslandTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Moment axes (arcsec) and position angle (degrees east of north) of islands, each (N,)."""
    in_pixels = covariances_of_ellipses(islands.major, islands.minor, islands.pixel_angle)
    jacobians = radio_map.tangent_jacobian(islands.x, islands.y)
    major, minor, angle = ellipses_of_covariances(transformed(in_pixels, jacobians))
    return major * DEGREES_TO_ARCSEC, minor * DEGREES_TO_ARCSEC, position_angle(angle)


def component_pixel_covariances(radio_map: RadioMap, components: ComponentTable) -> FloatArray:
    """Pixel covariances (N, 2, 2), axes (x, y), of the fitted Gaussians."""
    on_sky = covariances_of_ellipses(
        components.major / DEGREES_TO_ARCSEC, components.minor / DEGREES_TO_ARCSEC, 90.0 - components.pa
    )
    to_pixels = np.linalg.inv(radio_map.tangent_jacobian(components.x, components.y))
    return transformed(on_sky, to_pixels)
