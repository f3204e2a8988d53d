"""`simulate_sky`: a labelled radio map from a configuration and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from neanias_ml.maps import Beam, RadioMap
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.artefacts import sidelobe_artefacts
from neanias_ml.simulation.imaging.blanks import blank_mask
from neanias_ml.simulation.imaging.bowls import negative_bowls
from neanias_ml.simulation.imaging.interferometer import observe
from neanias_ml.simulation.imaging.mosaic import draw_mosaic
from neanias_ml.simulation.imaging.noise import background_map, correlated_noise, local_rms, rms_map
from neanias_ml.simulation.sources.cirrus import cirrus_map
from neanias_ml.simulation.sources.models import SourceModel, Stamp, render
from neanias_ml.simulation.sources.population import draw_sources
from neanias_ml.simulation.tables import Scene, build_truth
from neanias_ml.simulation.truth import Truth

FloatMap = NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedSky:
    """A simulated field with its truth. Maps are (ny, nx) float32, Jy/beam.

    Attributes
    ----------
    config, seed
        What it was made from.
    radio_map
        The map as a telescope would deliver it: NaN where blank.
    rms
        True local rms: thermal noise and the mass of the sidelobes (`imaging.noise.local_rms`);
        all signal-to-noise ratios of the truth refer to it.
    thermal_rms
        Rms of the noise alone.
    background
        True background: smooth emission, the diffuse Galaxy, and the negative bowls of missing short spacings.
    model
        Noise-free emission at the resolution of the beam.
    artefact
        Sidelobes and error beams.
    truth
        Labels and tables.
    """

    config: SkyConfig
    seed: int
    radio_map: RadioMap
    rms: FloatMap
    thermal_rms: FloatMap
    background: FloatMap
    model: FloatMap
    artefact: FloatMap
    truth: Truth


def simulate_sky(config: SkyConfig, *, seed: int, sources: list[SourceModel] | None = None) -> SimulatedSky:
    """Simulate one field; the same configuration and seed give the same pixels.

    Parameters
    ----------
    config
        The field.
    seed
        Non-negative seed of all draws; noise, sources and imaging faults use independent streams.
    sources
        Sources in pixels and Jy in place of the drawn population.
    """
    geometry = RadioMap.from_array(
        np.zeros((config.size, config.size), dtype=np.float32), beam=sky_beam(config), wcs=sky_wcs(config)
    )
    beam = geometry.beam_covariance
    mosaic = draw_mosaic(config, _stream(seed, "mosaic"))
    thermal = rms_map(config, _stream(seed, "rms"), mosaic=mosaic)
    coverage = observe(config, beam=beam)
    if sources is None:
        sources = draw_sources(config, _stream(seed, "sources"), noise=thermal, beam=beam)
    stamps = [render(source, beam=beam).inside(thermal.shape) for source in sources]
    model = _summed(stamps, thermal.shape)
    artefacts = sidelobe_artefacts(
        config, _stream(seed, "artefacts"), sources, coverage=coverage, beam=beam, noise=thermal, mosaic=mosaic
    )
    background = background_map(config, _stream(seed, "background"))
    background += cirrus_map(config, _stream(seed, "cirrus"), beam=beam)
    bowl_scale = config.imaging.bowl_scale * config.beam_fwhm
    background += negative_bowls(model, fraction=config.imaging.bowl_fraction, scale=bowl_scale)
    noise = correlated_noise(config, _stream(seed, "noise"), coverage=coverage, beam=beam) * thermal
    blank = blank_mask(config, _stream(seed, "blank"), mosaic=mosaic, model=model)
    pixels = np.where(blank, np.float32(np.nan), model + artefacts.image + background + noise)
    radio_map = RadioMap.from_array(pixels, beam=sky_beam(config), wcs=sky_wcs(config), frequency=config.frequency)
    rms = local_rms(thermal, artefacts.image, beam_fwhm=config.beam_fwhm)
    truth = build_truth(Scene(radio_map, sources, stamps, model, rms, artefacts, blank))
    return SimulatedSky(config, seed, radio_map, rms, thermal, background, model, artefacts.image, truth)


def sky_wcs(config: SkyConfig) -> WCS:
    """Orthographic (SIN) ICRS geometry centred on the field, right ascension growing to the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [config.right_ascension % 360.0, config.declination]
    wcs.wcs.cdelt = [-config.pixel_scale / 3600.0, config.pixel_scale / 3600.0]
    wcs.wcs.crpix = [config.size / 2 + 0.5, config.size / 2 + 0.5]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def sky_beam(config: SkyConfig) -> Beam:
    """Restoring beam of the field."""
    return Beam(config.beam_major / 3600.0, config.beam_minor / 3600.0, config.beam_pa)


def _stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator for one part of the simulation, so that parts do not shift each other."""
    return np.random.default_rng([seed, *name.encode()])


def _summed(stamps: list[Stamp | None], shape: tuple[int, int]) -> FloatMap:
    model = np.zeros(shape, dtype=np.float32)
    for stamp in stamps:
        if stamp is not None:
            model[stamp.window.slices] += stamp.data
    return model
