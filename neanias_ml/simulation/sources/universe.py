"""Extragalactic sources as the published counts have them: active galaxies and star-forming ones, with real sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.sources.compact import FAINTEST_SNR, draw_places, single_gaussian
from neanias_ml.simulation.sources.counts import draw_fluxes, draw_sizes, flux_scale, star_forming_share
from neanias_ml.simulation.sources.families import EDGE_BRIGHTENED, STRAIGHT_JETS, TAILS, Family
from neanias_ml.simulation.sources.models import Covariance, SourceModel
from neanias_ml.simulation.sources.shapes import Site, oriented_covariance
from neanias_ml.simulation.sources.spirals import spiral

_BENT_SHARE = 0.12  # of the radio galaxies with a visible shape
_STAR_FORMING_SIZE = 0.5  # relative to Windhorst's: microjansky galaxies measure 0.3" (Cotton et al. 2018)
_SHAPE_BEAMS = 1.2  # sources larger than this, in beams, show more than a Gaussian
_POINT_BEAMS = 0.1
_LARGEST = 0.6  # of the map's side


def published_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> Iterator[SourceModel]:
    """Sources whose number, fluxes and sizes follow the counts at the field's frequency (`counts`).

    Fluxes reach down to `FAINTEST_SNR` times the lowest noise of the field. Blends come about by chance and by
    groups (``clustered_fraction``); none are added, so that the counts stay as published.
    """
    area = (config.size * config.pixel_scale / 3600.0) ** 2
    fluxes = draw_fluxes(rng, faintest=FAINTEST_SNR * float(noise.min()), area=area, frequency=config.frequency)
    at_counts = fluxes / flux_scale(config.frequency)
    sizes = draw_sizes(rng, at_counts) / config.pixel_scale
    star_forming = rng.uniform(size=len(fluxes)) < star_forming_share(at_counts)
    sizes = np.minimum(np.where(star_forming, _STAR_FORMING_SIZE * sizes, sizes), _LARGEST * config.size)
    places = draw_places(config, rng, len(fluxes))
    for row, (x, y) in enumerate(places):
        flux, size = float(fluxes[row]), float(sizes[row])
        if star_forming[row]:
            yield _star_forming(rng, x=x, y=y, flux=flux, size=size, beam=beam)
        else:
            yield _active(rng, x=x, y=y, flux=flux, size=size, beam=beam, at_counts=float(at_counts[row]))


def fr2_share(flux: float) -> float:
    """Share of edge-brightened ones among extended radio galaxies of a flux (Jy at 1.4 GHz).

    From a quarter around the millijansky (Mingo et al. 2019, MNRAS 488, 2701) to three quarters above the jansky.
    """
    return min(max(0.35 + 0.2 * math.log10(flux / 0.01), 0.2), 0.75)


def _active(
    rng: np.random.Generator, *, x: float, y: float, flux: float, size: float, beam: Covariance, at_counts: float
) -> SourceModel:
    """A radio galaxy: a Gaussian where it is small, a shape of its flux's families where it is resolved."""
    site = Site(np.array([x, y]), size, rng.uniform(0.0, 2.0 * math.pi), beam)
    if size < _SHAPE_BEAMS * site.beam_fwhm:
        return _gaussian(rng, site, flux=flux, axis_ratio=rng.uniform(0.15, 0.7))
    family: Family = EDGE_BRIGHTENED
    if rng.uniform() > fr2_share(at_counts):
        family = TAILS if rng.uniform() < _BENT_SHARE / (1.0 - fr2_share(at_counts)) else STRAIGHT_JETS
    model = family.draw(rng)(rng, site)
    return model.scaled(flux / model.total_flux)


def _star_forming(
    rng: np.random.Generator, *, x: float, y: float, flux: float, size: float, beam: Covariance
) -> SourceModel:
    """A star-forming galaxy: an inclined Gaussian, or a spiral where it is large enough to show arms."""
    site = Site(np.array([x, y]), size, rng.uniform(0.0, 2.0 * math.pi), beam)
    if size < 2.0 * _SHAPE_BEAMS * site.beam_fwhm:
        return _gaussian(rng, site, flux=flux, axis_ratio=rng.uniform(0.2, 1.0))
    model = spiral(rng, site)
    return model.scaled(flux / model.total_flux)


def _gaussian(rng: np.random.Generator, site: Site, *, flux: float, axis_ratio: float) -> SourceModel:
    kind = "point" if site.length < _POINT_BEAMS * site.beam_fwhm else "gauss"
    size = 0.0 if kind == "point" else site.length
    width = oriented_covariance(size, size * axis_ratio, site.angle)
    return single_gaussian(kind, x=float(site.centre[0]), y=float(site.centre[1]), flux=flux, width=width)
