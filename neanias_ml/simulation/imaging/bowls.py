"""Bowls of negative background around extended emission, from missing short spacings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.simulation.sources.models import gaussian_transfer


def negative_bowls(
    model: NDArray[np.float32], *, fraction: float, scale: float
) -> NDArray[np.float32]:
    """What missing short spacings take away (<= 0, Jy/beam).

    Parameters
    ----------
    model
        Noise-free model (ny, nx), Jy/beam.
    fraction
        Fraction of the large-scale flux that is lost.
    scale
        FWHM in pixels of the Gaussian that separates large scales from small ones.
    """
    if fraction == 0.0 or not model.any():
        return np.zeros_like(model)
    margin = math.ceil(1.5 * scale)
    size = fft.next_fast_len(model.shape[0] + margin, real=True), fft.next_fast_len(model.shape[1] + margin, real=True)
    spectrum = fft.rfft2(model, s=size, workers=1)
    spectrum *= gaussian_transfer(size, np.eye(2) * scale**2 / (8.0 * math.log(2.0)))
    smooth = fft.irfft2(spectrum, s=size, workers=1)[: model.shape[0], : model.shape[1]]
    return (-fraction * np.clip(smooth, 0.0, None)).astype(np.float32)
