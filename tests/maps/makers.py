"""FITS files for the tests of the maps room: a small sky of Gaussian sources, written in every dialect."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from scipy import ndimage

BEAM_PIXELS = 4.0
STEP = 0.0005
"""Pixel size in degrees."""
SHAPE = (48, 64)
SOURCES = ((12.3, 10.6), (50.2, 30.4), (31.0, 40.8))
"""0-based (x, y) of the injected sources."""


def gaussian_sky(sources=SOURCES, *, shape=SHAPE, fwhm=BEAM_PIXELS, seed=1, noise=0.002):
    """(ny, nx) float64 map in Jy/beam: unit-peak sources at sub-pixel positions and a little noise."""
    y, x = np.indices(shape)
    sky = np.random.default_rng(seed).normal(scale=noise, size=shape)
    for x0, y0 in sources:
        sky += np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / fwhm**2)
    return sky


def sky_cards(*, projection="SIN", crval=(150.0, -30.0), step=STEP, shape=SHAPE, **further):
    """Header cards of a map of two axes; further cards replace or (None) remove them."""
    cards = {
        "CTYPE1": f"RA---{projection}",
        "CTYPE2": f"DEC--{projection}",
        "CRVAL1": crval[0],
        "CRVAL2": crval[1],
        "CRPIX1": (shape[1] + 1) / 2,
        "CRPIX2": (shape[0] + 1) / 2,
        "CDELT1": -step,
        "CDELT2": step,
        "RADESYS": "ICRS",
        "BMAJ": BEAM_PIXELS * step,
        "BMIN": BEAM_PIXELS * step,
        "BPA": 0.0,
        "BUNIT": "Jy/beam",
        "RESTFRQ": 1.4e9,
    }
    cards |= further
    return {keyword: value for keyword, value in cards.items() if value is not None}


def write_fits(path, data, cards, *, history=(), extensions=()):
    """Write ``data`` as the primary image with exactly these cards."""
    primary = fits.PrimaryHDU(data)
    for keyword, value in cards.items():
        primary.header[keyword] = value
    for line in history:
        primary.header["HISTORY"] = line
    fits.HDUList([primary, *extensions]).writeto(path, output_verify="ignore", overwrite=True)
    return path


def write_raw(path, cards, data=b""):
    """Write card texts (padded to 80 bytes, END added) and raw data bytes, without any check."""
    header = b"".join(card.encode("latin-1").ljust(80)[:80] for card in (*cards, "END"))
    header = header.ljust(-(-len(header) // 2880) * 2880)
    path.write_bytes(header + data.ljust(-(-len(data) // 2880) * 2880, b"\0"))
    return path


def centroids(data, *, sources=SOURCES, fwhm=BEAM_PIXELS):
    """Flux-weighted centroids (x, y) near the given positions, with a Gaussian window, iterated to convergence."""
    y, x = np.indices(data.shape)
    found = np.array(sources, dtype=float)
    for row in range(len(found)):
        for _ in range(30):
            dx, dy = x - found[row, 0], y - found[row, 1]
            weight = np.exp(-4 * np.log(2) * (dx**2 + dy**2) / fwhm**2) * np.nan_to_num(data)
            step = np.array([(weight * dx).sum(), (weight * dy).sum()]) / weight.sum()
            found[row] += 2 * step  # a window as wide as the source halves its offset
    return found


def correlated_noise(shape, *, fwhm, axis_ratio=1.0, seed=0):
    """White noise smoothed with a beam, unit standard deviation."""
    sigma = fwhm / 2.354820045
    margin = int(6 * fwhm)
    white = np.random.default_rng(seed).normal(size=(shape[0] + 2 * margin, shape[1] + 2 * margin))
    smooth = ndimage.gaussian_filter(white, (sigma / axis_ratio**0.5, sigma * axis_ratio**0.5))
    smooth = smooth[margin:-margin, margin:-margin]
    return smooth / smooth.std()
