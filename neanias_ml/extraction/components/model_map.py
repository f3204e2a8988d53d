"""The Gaussians of a catalogue as a map: what a residual map lacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_render import CUT_SIGMA, render_components
from neanias_ml.extraction.tables import ComponentTable
from neanias_ml.maps import RadioMap, Window, covariances_of_ellipses, transformed

FloatArray = NDArray[np.float64]
ARCSEC = 3600.0


@dataclass(frozen=True)
class GaussianModel:
    """The sum of fitted Gaussians, rendered on any window.

    Attributes
    ----------
    parameters
        (K, 6) log amplitude (Jy/beam), x, y and the Cholesky factor of the pixel covariance, as in the fits.
    reach_y
        (K,) rows from the centre to where a Gaussian ends.
    """

    parameters: FloatArray
    reach_y: FloatArray

    @classmethod
    def of(cls, radio_map: RadioMap, components: ComponentTable) -> GaussianModel:
        """The Gaussians among some components; rows from moments are no Gaussians and stay in the residual."""
        fitted = components.select((components.fit_quality > 0) & (components.peak_flux > 0))
        covariance = pixel_covariances(radio_map, fitted)
        l11 = np.sqrt(covariance[:, 0, 0])
        l21 = covariance[:, 0, 1] / l11
        l22 = np.sqrt(np.maximum(covariance[:, 1, 1] - l21**2, 1e-12))
        parameters = np.stack([np.log(fitted.peak_flux), fitted.x, fitted.y, np.log(l11), l21, np.log(l22)], axis=1)
        return cls(parameters, CUT_SIGMA * np.sqrt(covariance[:, 1, 1]))

    def render(self, window: Window) -> NDArray[np.float32]:
        """Jy/beam in each pixel of a window, float32."""
        y = self.parameters[:, 2]
        near = (y > window.y0 - self.reach_y - 1) & (y < window.y1 + self.reach_y + 1)
        return render_components(self.parameters[near], window)


def pixel_covariances(radio_map: RadioMap, components: ComponentTable) -> FloatArray:
    """Pixel covariances (N, 2, 2), axes (x, y), of the fitted Gaussians."""
    on_sky = covariances_of_ellipses(components.major / ARCSEC, components.minor / ARCSEC, 90.0 - components.pa)
    to_pixels = np.linalg.inv(radio_map.tangent_jacobian(components.x, components.y))
    return transformed(on_sky, to_pixels)
