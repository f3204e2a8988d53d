"""Diffuse emission of the Galaxy: a turbulent field as an interferometer sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.maps import FWHM_PER_SIGMA
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.sources.models import Covariance, gaussian_transfer


def cirrus_map(config: SkyConfig, rng: np.random.Generator, *, beam: Covariance) -> NDArray[np.float32]:
    """Galactic background (size, size), Jy/beam, of standard deviation ``cirrus_amplitude`` times the rms.

    Brightness fluctuates with a power spectrum k^-``cirrus_slope`` (2.6 to 3 for synchrotron and free-free emission of
    the Galactic plane); brighter regions fluctuate more, as an exponential of the Gaussian field makes them. What the
    array has no spacings for, beyond ``cirrus_scale`` beams, is filtered out, which leaves negative hollows.

    Parameters
    ----------
    config
        Geometry, rms and the options ``cirrus_...`` of the population.
    rng
        Source of randomness.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    """
    options = config.population
    if options.cirrus_amplitude == 0.0:
        return np.zeros((config.size, config.size), dtype=np.float32)
    scale = options.cirrus_scale * config.beam_fwhm
    # a margin of one filter length keeps the periodic field from joining opposite edges
    size = fft.next_fast_len(config.size + min(int(scale), config.size), real=True)
    kx, ky = fft.rfftfreq(size).astype(np.float32), fft.fftfreq(size).astype(np.float32)[:, None]
    wavenumber = np.sqrt(kx * kx + ky * ky)
    wavenumber[0, 0] = np.inf
    spectrum = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32), workers=1)
    spectrum *= wavenumber ** np.float32(-0.5 * options.cirrus_slope)
    field = fft.irfft2(spectrum, s=(size, size), workers=1)
    field = np.exp(np.float32(0.5) * field / field.std())
    spectrum = fft.rfft2(field, workers=1) * gaussian_transfer((size, size), beam)
    spectrum *= 1.0 - gaussian_transfer((size, size), np.eye(2) * (scale / FWHM_PER_SIGMA) ** 2)
    seen = fft.irfft2(spectrum, s=(size, size), workers=1)[: config.size, : config.size]
    return (seen * (options.cirrus_amplitude * config.rms / seen.std())).astype(np.float32)
