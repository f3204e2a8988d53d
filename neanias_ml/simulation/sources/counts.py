"""Published counts and angular sizes of the extragalactic radio sky, at any frequency of a survey."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

COUNTS_FREQUENCY = 1.4e9
"""Frequency of the counts and sizes, Hz."""
SPECTRAL_INDEX = -0.7
"""Mean spectral index (flux ~ frequency^index), with which fluxes are taken to another frequency."""
BRIGHTEST_FLUX = 30.0
"""Fluxes are drawn up to this, Jy at 1.4 GHz."""
_FAINTEST_FLUX = 1e-7  # Jy at 1.4 GHz; nothing fainter is the brightest of a field
_HOPKINS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
_FAINT_SLOPE = 0.27
_SQUARE_DEGREE = (math.pi / 180.0) ** 2


def euclidean_counts(flux: FloatArray) -> FloatArray:
    """Differential counts S^2.5 n(S) at 1.4 GHz, Jy^1.5 / sr, for fluxes in Jy.

    From 0.1 mJy to 1 Jy the polynomial of Hopkins et al. (2003, AJ 125, 465). Below 10 microjansky S^2 n(S) goes as
    S^0.5, as the confusion in the DEEP2 field of MeerKAT has it (Matthews et al. 2021, ApJ 909, 193); the slope
    between is that which gives the 16 300 sources per square degree above 10 microjansky that were counted there.
    """
    place = np.clip(np.log10(flux * 1e3), -1.0, 3.0)
    counts = 10.0 ** np.polyval(_HOPKINS[::-1], place)
    counts = counts * np.where(flux < 1e-4, (flux / 1e-4) ** _FAINT_SLOPE, 1.0)
    return np.asarray(counts * np.where(flux < 1e-5, (flux / 1e-5) ** (1.0 - _FAINT_SLOPE), 1.0))


def flux_scale(frequency: float) -> float:
    """Mean ratio of the flux at ``frequency`` (Hz) and that at 1.4 GHz."""
    return (frequency / COUNTS_FREQUENCY) ** SPECTRAL_INDEX


def density_above(flux: float, *, frequency: float) -> float:
    """Sources brighter than ``flux`` (Jy at ``frequency`` in Hz) per square degree."""
    return float(_cumulative(flux, frequency=frequency)[1][-1])


def crowding(rms: float, *, beam: float, frequency: float) -> float:
    """Sources above 5 ``rms`` (Jy/beam) per 1000 beams; ``beam`` is major by minor FWHM, arcsec^2."""
    area = 1000.0 * beam * math.pi / (4.0 * math.log(2.0)) / 3600.0**2
    return area * density_above(5.0 * rms, frequency=frequency)


def brightest_flux(area: float, *, frequency: float) -> float:
    """Flux (Jy at ``frequency`` in Hz) that one source in ``area`` square degrees exceeds on average."""
    fluxes, cumulative = _cumulative(_FAINTEST_FLUX * flux_scale(frequency), frequency=frequency)
    return float(np.exp(np.interp(cumulative[-1] - 1.0 / area, cumulative, np.log(fluxes))))


def draw_fluxes(rng: np.random.Generator, *, faintest: float, area: float, frequency: float) -> FloatArray:
    """Fluxes (n,) in Jy of the sources of a field, with n drawn as well.

    Parameters
    ----------
    rng
        Source of randomness.
    faintest
        Smallest flux, Jy at ``frequency``.
    area
        Square degrees.
    frequency
        Hz.
    """
    fluxes, cumulative = _cumulative(faintest, frequency=frequency)
    count = rng.poisson(cumulative[-1] * area)
    return np.exp(np.interp(rng.uniform(0.0, cumulative[-1], count), cumulative, np.log(fluxes)))


def _cumulative(faintest: float, *, frequency: float) -> tuple[FloatArray, FloatArray]:
    """Fluxes (n,) in Jy at ``frequency`` upwards from ``faintest``, and sources per square degree below each."""
    scale = flux_scale(frequency)
    grid = np.geomspace(min(faintest / scale, 0.99 * BRIGHTEST_FLUX), BRIGHTEST_FLUX, 1024)
    rate = euclidean_counts(grid) * grid**-1.5 * _SQUARE_DEGREE  # per unit of ln S
    steps = 0.5 * (rate[1:] + rate[:-1]) * np.diff(np.log(grid))
    return grid * scale, np.concatenate([[0.0], np.cumsum(steps)])


def star_forming_share(flux: FloatArray) -> FloatArray:
    """Share of star-forming galaxies among sources of some fluxes (Jy at 1.4 GHz); the others have an active nucleus.

    A logistic function of log S through the shares found in deep fields: half at 0.2 mJy, one in five at 1 mJy,
    three in four at 50 microjansky (Smolcic et al. 2017, A&A 602, A2; Prandoni et al. 2018, MNRAS 481, 4548).
    """
    return np.asarray(1.0 / (1.0 + (flux / 2e-4) ** 0.9))


def median_size(flux: FloatArray) -> FloatArray:
    """Median largest angular size (arcsec) of sources of some fluxes (Jy at 1.4 GHz): 2" (S / mJy)^0.30.

    Windhorst, Mathis & Neuschaefer (1990, ASP Conf. 10, 389).
    """
    return np.asarray(2.0 * (flux * 1e3) ** 0.30)


def draw_sizes(rng: np.random.Generator, flux: FloatArray) -> FloatArray:
    """Largest angular sizes (n,) in arcsec for fluxes in Jy at 1.4 GHz.

    The share of sources larger than theta is 2^-((theta / median)^0.62) (Windhorst et al. 1990).
    """
    tail = -np.log2(rng.uniform(1e-9, 1.0, len(flux)))
    return np.asarray(median_size(flux) * tail ** (1.0 / 0.62))
