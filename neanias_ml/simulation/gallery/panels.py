"""Panels of the gallery: every kind of source, every imaging fault, and whole fields."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neanias_ml.maps import RadioMap
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.config import LAYOUTS, ImagingConfig
from neanias_ml.simulation.random_config import random_config
from neanias_ml.simulation.sky import SimulatedSky, simulate_sky, sky_beam, sky_wcs
from neanias_ml.simulation.sources.compact import single_gaussian
from neanias_ml.simulation.sources.config import PopulationConfig
from neanias_ml.simulation.sources.families import ALL_FAMILIES, Family
from neanias_ml.simulation.sources.galaxy_clusters import galaxy_cluster, with_peak
from neanias_ml.simulation.sources.models import Covariance, SourceModel
from neanias_ml.simulation.sources.shapes import Site, oriented_covariance
from neanias_ml.simulation.surveys import SURVEYS, survey_config
from neanias_ml.simulation.truth import MORPHOLOGIES

BEAM_PIXELS = 5.0
SOURCE_SIZE, FAULT_SIZE, FIELD_SIZE = 128, 192, 384
_LENGTH_BEAMS = 13.0
_BRIGHTEST = 80.0
_DRAWS = 60
_ATTEMPTS, _ENOUGH = 5, 4
_NOISE_ONLY: dict[str, Any] = {
    "noise_ratio": 1.0,
    "background_amplitude": 0.0,
    "clean_depth": 0.0,
    "extended_clean_depth": 0.0,
    "gain_amplitude_error": 0.0,
    "gain_phase_error": 0.0,
    "pointing_error": 0.0,
    "bowl_fraction": 0.0,
}
_SNAPSHOT: dict[str, Any] = {"layout": "vla", "hour_angle_span": 0.1, "bandwidth": 0.05, "robust": 1.0}
_TRACK: dict[str, Any] = {"layout": "vla", "hour_angle_span": 6.0, "bandwidth": 0.05, "robust": 0.0}


@dataclass(frozen=True)
class Panel:
    """One field of the gallery and what stands above it."""

    title: str
    sky: SimulatedSky
    named: bool = False
    """the class of the only outlines is written into the panel"""


def source_panels(seed: int) -> Iterator[Panel]:
    """One panel for every kind of source (`MORPHOLOGIES`) and one for a cluster, in faultless maps."""
    config = _plain(SOURCE_SIZE)
    beam = _beam(config)
    for number, (kind, source) in enumerate(_examples(config, beam, np.random.default_rng(seed)).items()):
        yield Panel(kind, simulate_sky(config, seed=seed + number, sources=[source]), named=True)
    wide = _plain(2 * SOURCE_SIZE)
    site = Site(np.full(2, SOURCE_SIZE - 0.5), 30.0 * BEAM_PIXELS, 0.4, beam)
    members = galaxy_cluster(np.random.default_rng([seed, 4]), site, rms=wide.rms)
    yield Panel("cluster of galaxies", simulate_sky(wide, seed=seed, sources=members))


def _examples(config: SkyConfig, beam: Covariance, rng: np.random.Generator) -> dict[str, SourceModel]:
    """A source of every kind in the middle of a map."""
    middle = 0.5 * (config.size - 1)
    width = oriented_covariance(1.6 * BEAM_PIXELS, 0.8 * BEAM_PIXELS, 0.7)
    found = {
        "point": single_gaussian("point", x=middle, y=middle, flux=30 * config.rms, width=np.zeros((2, 2))),
        "gauss": single_gaussian("gauss", x=middle, y=middle, flux=100 * config.rms, width=width),
    }
    for family in ALL_FAMILIES:
        for builder in family.builders:
            for _ in range(_DRAWS):
                site = Site(np.full(2, middle), _LENGTH_BEAMS * BEAM_PIXELS, rng.uniform(0.0, 2.0 * math.pi), beam)
                model = builder(rng, site)
                found.setdefault(model.kind, _bright(model, family, site=site, rms=config.rms))
    return {kind: found[kind] for kind in MORPHOLOGIES}


def _bright(model: SourceModel, family: Family, *, site: Site, rms: float) -> SourceModel:
    return with_peak(model, min(family.brightest, _BRIGHTEST) * rms, site=site)


FAULTS: dict[str, dict[str, Any]] = {
    **{
        f"unfinished CLEAN: {layout}": {
            "layout": layout,
            "hour_angle_span": 8.0 if layout in ("atca", "lofar") else 0.2,
            "clean_depth": 0.2,
            "bandwidth": 0.2,
        }
        for layout in LAYOUTS
    },
    "phase errors: spokes": {**_SNAPSHOT, "gain_phase_error": 12.0, "gain_interval": 1.0},
    "steady amplitude errors: rings": {**_TRACK, "gain_amplitude_error": 0.25, "gain_interval": 360.0},
    "bad baselines: stripes": {**_TRACK, "bad_baselines": 6.0},
    "pointing errors": {**_TRACK, "pointing_error": 0.1, "primary_beam": 0.2},
    "errors of one direction": {**_TRACK, "gain_phase_error": 14.0, "gain_sharing": 0.0},
    "ghosts": {**_TRACK, "ghost_fraction": 1.0},
    "extended CLEAN residual": {**_SNAPSHOT, "extended_clean_depth": 0.6},
    "negative bowl": {**_TRACK, "bowl_fraction": 0.7, "bowl_scale": 10.0},
    "alias of a source outside": {**_TRACK, "alias_fraction": 0.05},
    "interference": {**_TRACK, "rfi_stripes": 3.0, "rfi_strength": 3.0},
    "noise of a snapshot": {**_SNAPSHOT, "noise_gridding": 1.0, "confusion_share": 0.6},
    "noise of a track": {"layout": "lofar", "noise_gridding": 1.0, "confusion_share": 0.3},
    "single pointing": {"mosaic": "single", "primary_beam": 0.7, "mosaic_cutoff": 0.3},
    "edge of a mosaic": {"mosaic": "hexagonal", "primary_beam": 0.35, "pointing_spacing": 0.75, "mosaic_extent": 0.75},
    "uneven pointings": {
        "mosaic": "square", "primary_beam": 0.3, "pointing_spacing": 0.9, "missing_pointings": 0.25,
        "pointing_scatter": 0.3,
    },
    "cut edge": {"blank_edge": 0.3},
    "blanked source": {"blank_holes": 1.0},
    "Galactic background": {"cirrus_amplitude": 2.5, "cirrus_scale": 25.0},
}  # fmt: skip
"""Options of each panel with a fault; all other faults are left out."""
_BRIGHT_SOURCE = {"ghosts": 30000.0, "bad baselines: stripes": 5000.0, "steady amplitude errors: rings": 3000.0}
_WITHOUT_BRIGHT = ("noise of a snapshot", "noise of a track", "Galactic background")


def fault_panels(seed: int) -> Iterator[Panel]:
    """One panel for every array and imaging fault: a bright source, neighbours and an extended one."""
    for number, (title, options) in enumerate(FAULTS.items()):
        config = _plain(FAULT_SIZE, **options)
        rng = np.random.default_rng([seed, number])
        sources = _scene(config, rng, title=title)
        yield Panel(title, _with_a_sign(config, seed + 100 * number, sources))


def _with_a_sign(config: SkyConfig, seed: int, sources: list[SourceModel]) -> SimulatedSky:
    """A field in which faults that are drawn as a Poisson number came up at all."""
    chancy = max(config.imaging.blank_holes, config.imaging.rfi_stripes) > 0.0
    quiet = dataclasses.replace(config, imaging=dataclasses.replace(config.imaging, blank_holes=0.0, rfi_stripes=0.0))
    for attempt in range(20 if chancy else 1):
        sky = simulate_sky(config, seed=seed + attempt, sources=sources)
        plain = simulate_sky(quiet, seed=seed + attempt, sources=sources) if chancy else sky
        if chancy and not np.array_equal(sky.radio_map.data, plain.radio_map.data, equal_nan=True):
            break
    return sky


def _scene(config: SkyConfig, rng: np.random.Generator, *, title: str) -> list[SourceModel]:
    """A bright point a little off the middle, faint neighbours, and an extended source where it shows a fault."""
    middle, size, rms = 0.5 * (config.size - 1), config.size, config.rms
    if title in ("extended CLEAN residual", "negative bowl"):
        site = Site(np.full(2, middle), 16.0 * BEAM_PIXELS, 0.5, _beam(config))
        family = next(family for family in ALL_FAMILIES if family.brightest == 60.0)
        return [with_peak(next(iter(family.builders))(rng, site), 60.0 * rms, site=site)]
    places = rng.uniform(0.1 * size, 0.9 * size, (6, 2))
    points = [(x, y, float(10.0 ** rng.uniform(0.9, 1.5))) for x, y in places]
    if title == "alias of a source outside":
        points.append((1.15 * size, 0.6 * size, 1500.0))
    elif title not in _WITHOUT_BRIGHT:
        points.append((middle - 0.06 * size, middle + 0.03 * size, _BRIGHT_SOURCE.get(title, 800.0)))
    if title == "ghosts":
        points.append((middle + 0.25 * size, middle + 0.15 * size, 3000.0))
    return [single_gaussian("point", x=x, y=y, flux=snr * rms, width=np.zeros((2, 2))) for x, y, snr in points]


def field_panels(seed: int) -> Iterator[Panel]:
    """Four wide random fields, and one field of every survey."""
    for number in range(4):
        config = random_config(np.random.default_rng(seed + number), size=FIELD_SIZE)
        yield Panel(f"random: {config.imaging.layout}", simulate_sky(config, seed=seed + number))
    for name in SURVEYS:
        yield Panel(f"survey: {name}", _survey_field(name, seed))


def _survey_field(name: str, seed: int) -> SimulatedSky:
    """A field of a survey with something to see: cut-outs of sparse surveys are often empty."""
    fields = []
    for attempt in range(_ATTEMPTS):
        config = survey_config(name, np.random.default_rng(seed + attempt), size=FIELD_SIZE)
        fields.append(simulate_sky(config, seed=seed + attempt))
        if fields[-1].truth.objects.visible.sum() >= _ENOUGH:
            break
    return max(fields, key=lambda sky: int(sky.truth.objects.visible.sum()))


def _plain(size: int, **options: Any) -> SkyConfig:
    """A field of round beams of `BEAM_PIXELS` without any fault but those given."""
    imaging = {field.name for field in dataclasses.fields(ImagingConfig)}
    chosen = {**_NOISE_ONLY, **{name: value for name, value in options.items() if name in imaging}}
    others = {name: value for name, value in options.items() if name not in imaging}
    north = chosen.get("layout") in ("vla", "lofar")
    return SkyConfig(
        size=size,
        pixel_scale=2.0,
        beam_major=2.0 * BEAM_PIXELS,
        beam_minor=2.0 * BEAM_PIXELS,
        declination=50.0 if north else -40.0,
        imaging=ImagingConfig(**chosen),
        population=PopulationConfig(**others),
    )


def _beam(config: SkyConfig) -> Covariance:
    """Pixel covariance of the restoring beam of a field."""
    blank = np.zeros((config.size, config.size), dtype=np.float32)
    return RadioMap.from_array(blank, beam=sky_beam(config), wcs=sky_wcs(config)).beam_covariance
