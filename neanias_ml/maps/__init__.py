"""Radio maps: pixels, sky geometry, beam, units, windows."""

from neanias_ml.maps.beam import FWHM_PER_SIGMA, Beam
from neanias_ml.maps.ellipses import covariances_of_ellipses, ellipses_of_covariances, position_angle, transformed
from neanias_ml.maps.radio_map import RadioMap
from neanias_ml.maps.reading import read_map
from neanias_ml.maps.sky import SkyFrame, ellipse_from_covariance, tangent_offsets
from neanias_ml.maps.source import MapSource, file_digest
from neanias_ml.maps.usability import require_usable_pixels
from neanias_ml.maps.windows import Window, tile_grid

__all__ = [
    "FWHM_PER_SIGMA",
    "Beam",
    "MapSource",
    "RadioMap",
    "SkyFrame",
    "Window",
    "covariances_of_ellipses",
    "ellipse_from_covariance",
    "ellipses_of_covariances",
    "file_digest",
    "position_angle",
    "read_map",
    "require_usable_pixels",
    "tangent_offsets",
    "tile_grid",
    "transformed",
]
