"""Small constructed fields whose truth is known by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from neanias_ml.maps import RadioMap
from neanias_ml.simulation import SkyConfig, simulate_sky
from neanias_ml.simulation.imaging.interferometer import observe
from neanias_ml.simulation.sky import sky_beam, sky_wcs
from neanias_ml.simulation.sources.models import Gaussians, SourceModel

RMS = 1e-4
QUIET = {
    "size": 128,
    "pixel_scale": 2.0,
    "beam_major": 10.0,
    "beam_minor": 10.0,
    "beam_pa": 0.0,
    "rms": RMS,
    "noise_ratio": 1.0,
    "background_amplitude": 0.0,
    "clean_depth": 0.0,
    "gain_amplitude_error": 0.0,
    "gain_phase_error": 0.0,
    "pointing_error": 0.0,
    "extended_clean_depth": 0.0,
    "bowl_fraction": 0.0,
    "outside_sources": 0.0,
    "hour_angle_span": 2.0,
}
"""A flat, faultless field of 128 pixels with a round beam of 5 pixels."""


def quiet(**changes):
    """`QUIET` as a configuration, with changes."""
    return changed(SkyConfig(), **{**QUIET, **changes})


def changed(config, **changes):
    """A configuration with options changed by their plain names, whichever part holds them."""
    for part in ("population", "imaging"):
        inner = getattr(config, part)
        own = {field.name: changes.pop(field.name) for field in dataclasses.fields(inner) if field.name in changes}
        changes[part] = dataclasses.replace(inner, **own)
    return dataclasses.replace(config, **changes)


def gaussians(*rows, kind="gauss"):
    """One object of round Gaussians (x, y, total flux in Jy, intrinsic FWHM in pixels)."""
    table = np.array([(x, y, flux, (fwhm / 2.3548) ** 2, 0.0, (fwhm / 2.3548) ** 2) for x, y, flux, fwhm in rows]).T
    return SourceModel(kind, Gaussians(*table))


def point(x, y, snr):
    """A point source of a given S/N in a quiet field."""
    return gaussians((x, y, snr * RMS, 0.0), kind="point")


def field(*sources, seed=1, **changes):
    """A quiet field holding the given sources."""
    return simulate_sky(quiet(**changes), seed=seed, sources=list(sources))


def observed(layout="vla", **changes):
    """A quiet configuration with an array, the pixel covariance of its beam, and its sampled uv plane."""
    declination = -50.0 if layout in ("atca", "askap", "meerkat") else 40.0
    span = {"hour_angle_span": 8.0} if layout == "atca" else {}
    config = quiet(**{"layout": layout, "declination": declination, **span, **changes})
    canvas = np.zeros((config.size, config.size), dtype=np.float32)
    beam = RadioMap.from_array(canvas, beam=sky_beam(config), wcs=sky_wcs(config)).beam_covariance
    return config, beam, observe(config, beam=beam)
