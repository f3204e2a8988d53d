"""Skies that many tests share: small, seeded, with known truth."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from scipy import ndimage

from neanias_ml.maps import FWHM_PER_SIGMA, Beam, RadioMap

PIXEL_ARCSEC = 2.0
BEAM_PIXELS = 5.0


def make_wcs(shape, *, ra=150.0, dec=-30.0, projection="SIN", scale=PIXEL_ARCSEC / 3600):
    """Celestial WCS centred on a map of ``shape``, 2 arcsec pixels by default."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.radesys = "ICRS"
    return wcs


def correlated_noise(shape, rng, *, fwhm=BEAM_PIXELS):
    """Unit-rms noise that is white before a Gaussian beam of ``fwhm`` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), fwhm / FWHM_PER_SIGMA, mode="wrap")
    return noise / noise.std()


def gaussian(shape, x, y, covariance):
    """Unit-peak Gaussian with a pixel covariance (2, 2)."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    inverse = np.linalg.inv(covariance)
    dx, dy = cols - x, rows - y
    return np.exp(-0.5 * (inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2))


def round_covariance(fwhm):
    """Covariance of a round Gaussian of ``fwhm`` pixels."""
    return np.eye(2) * (fwhm / FWHM_PER_SIGMA) ** 2


def make_map(pixels, *, fwhm=BEAM_PIXELS, wcs="default", **keywords):
    """A `RadioMap` of an array with a round beam of ``fwhm`` pixels."""
    beam = Beam(fwhm * PIXEL_ARCSEC / 3600, fwhm * PIXEL_ARCSEC / 3600, 0.0)
    wcs = make_wcs(pixels.shape) if isinstance(wcs, str) else wcs
    return RadioMap.from_array(pixels, beam=beam, wcs=wcs, pixel_scale=PIXEL_ARCSEC / 3600, **keywords)


def make_sky(seed, *, shape=(256, 256), n_sources=20, snr=(8, 80), rms=1e-4):
    """Point sources on a jittered lattice over correlated noise; returns the map and (x, y, peak)."""
    rng = np.random.default_rng(seed)
    pixels = correlated_noise(shape, rng) * rms
    side = int(np.ceil(np.sqrt(n_sources)))
    step = min(shape) / (side + 0.5)
    rows, cols = np.divmod(np.arange(n_sources), side)
    x = (cols + 0.75) * step + rng.uniform(-0.15, 0.15, n_sources) * step
    y = (rows + 0.75) * step + rng.uniform(-0.15, 0.15, n_sources) * step
    peak = rms * np.exp(rng.uniform(*np.log(snr), n_sources))
    for source in zip(x, y, peak, strict=True):
        pixels += source[2] * gaussian(shape, source[0], source[1], round_covariance(BEAM_PIXELS))
    return make_map(pixels), np.stack([x, y, peak], axis=1)


@pytest.fixture(autouse=True, scope="session")
def _own_registry(tmp_path_factory):
    """What tests track and fetch stays out of the user's own registry and cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("registry")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("NEANIAS_CACHE", str(folder / "cache"))
        yield


@pytest.fixture
def real_data():
    """Folder of real maps; such tests are opt-in."""
    folder = os.environ.get("NEANIAS_REAL_DATA")
    if not folder:
        pytest.skip("NEANIAS_REAL_DATA is not set")
    return Path(folder)
