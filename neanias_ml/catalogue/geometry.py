"""Sizes and angles between the pixels of a map and the sky, for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.tables import IslandTable
from neanias_ml.maps import RadioMap, covariances_of_ellipses, ellipses_of_covariances, position_angle, transformed

FloatArray = NDArray[np.float64]
DEGREES_TO_ARCSEC = 3600.0


def island_sky_ellipses(radio_map: RadioMap, islands: IslandTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Moment axes (arcsec) and position angle (degrees east of north) of islands, each (N,)."""
    in_pixels = covariances_of_ellipses(islands.major, islands.minor, islands.pixel_angle)
    jacobians = radio_map.tangent_jacobian(islands.x, islands.y)
    major, minor, angle = ellipses_of_covariances(transformed(in_pixels, jacobians))
    return major * DEGREES_TO_ARCSEC, minor * DEGREES_TO_ARCSEC, position_angle(angle)
