"""Least-squares fit of a sum of elliptical Gaussians to the pixels of one island.

A component is held as ``(log amplitude, x, y, log l11, l21, log l22)`` where ``L = [[l11, 0], [l21, l22]]`` is
the Cholesky factor of its pixel covariance: smooth everywhere, positive by construction, and without the
degenerate angle of a round source. Errors take the beam-correlated noise into account:
``(J^T J)^-1 J^T C J (J^T J)^-1`` with ``C`` the covariance of noise that is white before the beam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

FloatArray = NDArray[np.float64]

PARAMETERS = 6
EXACT_COVARIANCE_PIXELS = 500
"""Up to this many pixels the noise covariance is used in full; beyond, its long-wave limit."""

MAX_EVALUATIONS = 60
"""Evaluations after which a fit ends as it is: no island may hold up the others."""


@dataclass(frozen=True)
class GaussianFit:
    """Result of a fit of K components.

    Attributes
    ----------
    amplitude, x, y
        (K,) Jy/beam and pixels.
    covariance
        (K, 2, 2) pixel covariance of each Gaussian, axes (x, y).
    parameters
        (K, 6) as described in the module.
    parameter_covariance
        (K, 6, 6) error covariance of each component's parameters.
    residual_rms
        Root mean square of data minus model in units of the noise.
    converged
        Whether the minimiser met its tolerances.
    """

    parameters: FloatArray
    parameter_covariance: FloatArray
    residual_rms: float
    converged: bool

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

    @property
    def covariance(self) -> FloatArray:
        """(K, 2, 2) pixel covariances."""
        return covariance_of(self.parameters)


def covariance_of(parameters: FloatArray) -> FloatArray:
    """Pixel covariance (K, 2, 2) of parameters (K, 6)."""
    l11, l21, l22 = np.exp(parameters[:, 3]), parameters[:, 4], np.exp(parameters[:, 5])
    covariance = np.empty((len(parameters), 2, 2))
    covariance[:, 0, 0] = l11**2
    covariance[:, 0, 1] = covariance[:, 1, 0] = l11 * l21
    covariance[:, 1, 1] = l21**2 + l22**2
    return covariance


def starting_parameters(amplitude: FloatArray, x: FloatArray, y: FloatArray, covariance: FloatArray) -> FloatArray:
    """Parameters (K, 6) of components with given amplitudes, positions and one covariance (2, 2)."""
    lower = np.linalg.cholesky(covariance)
    start = np.empty((len(amplitude), PARAMETERS))
    start[:, 0], start[:, 1], start[:, 2] = np.log(amplitude), x, y
    start[:, 3], start[:, 4], start[:, 5] = math.log(lower[0, 0]), lower[1, 0], math.log(lower[1, 1])
    return start


def model_and_jacobian(parameters: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum of Gaussians at N pixels and its derivatives (N, 6 K) by the parameters (K, 6)."""
    amplitude = np.exp(parameters[:, 0, None])
    l11, l21, l22 = np.exp(parameters[:, 3, None]), parameters[:, 4, None], np.exp(parameters[:, 5, None])
    z1 = (x - parameters[:, 1, None]) / l11
    z2 = (y - parameters[:, 2, None] - l21 * z1) / l22
    gauss = amplitude * np.exp(-0.5 * (z1 * z1 + z2 * z2))
    skew = l21 / l22
    jacobian = np.stack(
        [
            gauss,
            gauss * (z1 - z2 * skew) / l11,
            gauss * z2 / l22,
            gauss * z1 * (z1 - z2 * skew),
            gauss * z1 * z2 / l22,
            gauss * z2 * z2,
        ],
        axis=-1,
    )
    return gauss.sum(axis=0), np.moveaxis(jacobian, 0, 1).reshape(x.size, -1)


def fit_gaussians(
    values: FloatArray,
    x: FloatArray,
    y: FloatArray,
    *,
    rms: float,
    start: FloatArray,
    beam_covariance: FloatArray,
    bounds: tuple[FloatArray, FloatArray] | None = None,
    step: int = 1,
) -> GaussianFit:
    """Fit K Gaussians to background-subtracted pixels.

    Parameters
    ----------
    values, x, y
        (N,) Jy/beam and pixel positions; N must be at least 6 K.
    rms
        Noise of the pixels, Jy/beam.
    start
        (K, 6) starting parameters.
    beam_covariance
        (2, 2) pixel covariance of the beam, which correlates the noise.
    bounds
        Least and largest parameters, (K, 6) each; slower, for islands in which a free fit runs away.
    step
        Spacing of the pixels where the island was thinned: less correlated the farther they are apart.
    """

    def residuals(flat: FloatArray) -> FloatArray:
        return (model_and_jacobian(_bounded(flat).reshape(start.shape), x, y)[0] - values) / rms

    def derivatives(flat: FloatArray) -> FloatArray:
        return model_and_jacobian(_bounded(flat).reshape(start.shape), x, y)[1] / rms

    tolerances = {"xtol": 1e-6, "ftol": 1e-5, "max_nfev": MAX_EVALUATIONS}
    if bounds is None:
        result = least_squares(residuals, start.ravel(), jac=derivatives, method="lm", **tolerances)
    else:
        low, high = (limit.ravel() for limit in bounds)
        inside = np.clip(start.ravel(), low + 1e-6, high - 1e-6)
        result = least_squares(residuals, inside, jac=derivatives, method="trf", bounds=(low, high), **tolerances)
    parameters = _bounded(result.x).reshape(start.shape)
    return GaussianFit(
        parameters=parameters,
        parameter_covariance=_error_covariance(result.jac, x, y, beam_covariance, len(start), step=step),
        residual_rms=float(np.sqrt(np.mean(result.fun**2))),
        converged=bool(result.success),
    )


def _bounded(flat: FloatArray) -> FloatArray:
    """Keep exponents where they cannot overflow while the minimiser explores."""
    parameters = flat.reshape(-1, PARAMETERS).copy()
    parameters[:, [0, 3, 5]] = np.clip(parameters[:, [0, 3, 5]], -80.0, 80.0)
    return parameters.ravel()


def _error_covariance(
    jacobian: FloatArray, x: FloatArray, y: FloatArray, beam_covariance: FloatArray, count: int, *, step: int
) -> FloatArray:
    """Blocks (K, 6, 6) of the parameters' error covariance under beam-correlated noise of unit rms."""
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    if x.size <= EXACT_COVARIANCE_PIXELS:
        inner = jacobian.T @ noise_correlation(x, y, beam_covariance) @ jacobian
        covariance = inverse @ inner @ inverse
    else:
        correlation_area = 4.0 * math.pi * math.sqrt(float(np.linalg.det(beam_covariance)))
        covariance = inverse * max(1.0, correlation_area / step**2)
    blocks = covariance.reshape(count, PARAMETERS, count, PARAMETERS)
    return np.ascontiguousarray(blocks[np.arange(count), :, np.arange(count), :])


def noise_correlation(x: FloatArray, y: FloatArray, beam_covariance: FloatArray) -> FloatArray:
    """Correlation (N, N) of noise that is white before convolution with the beam: a beam twice as wide in variance."""
    inverse = np.linalg.inv(2.0 * beam_covariance)
    dx, dy = x[:, None] - x, y[:, None] - y
    return np.exp(-0.5 * (inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy))
