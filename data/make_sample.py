"""Makes the sample map with its truth: ``python data/make_sample.py`` (a few seconds, always the same files).

A simulated field with the pixels and beam of the EMU survey (1024 x 1024 of 2.2", 12" x 10"). The compact
sources are drawn from source counts; the extended ones are placed by hand, so that the map shows every kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neanias_ml.maps import RadioMap
from neanias_ml.simulation import ImagingConfig, PopulationConfig, SkyConfig, simulate_sky, write_simulation
from neanias_ml.simulation.sky import SimulatedSky, sky_beam, sky_wcs
from neanias_ml.simulation.sources.diffuse import filament, halo, odd_circle, relic
from neanias_ml.simulation.sources.galaxy_clusters import with_peak
from neanias_ml.simulation.sources.models import Gaussians, SourceModel
from neanias_ml.simulation.sources.nebulae import hii_irregular, planetary_nebula, snr_shell
from neanias_ml.simulation.sources.population import draw_sources
from neanias_ml.simulation.sources.radio_galaxies import double_double, fr2, remnant, x_shaped
from neanias_ml.simulation.sources.shapes import Site
from neanias_ml.simulation.sources.spirals import spiral
from neanias_ml.simulation.sources.tailed_galaxies import fr1, head_tail, narrow_angle_tail, wide_angle_tail

SEED = 2
CONFIG = SkyConfig(
    size=1024,
    right_ascension=201.5,
    declination=-42.0,
    population=PopulationConfig(
        compact_density=5.0,
        pair_fraction=0.06,
        maximum_snr=150.0,
        double_density=0.0,
        jet_density=0.0,
        tail_density=0.0,
        galaxy_density=0.0,
        nebula_density=0.0,
        diffuse_density=0.0,
        cluster_density=0.0,
        bright_sources=0.0,
        outside_sources=0.0,
    ),
    imaging=ImagingConfig(
        noise_ratio=2.0,
        background_amplitude=0.4,
        layout="meerkat",
        hour_angle_span=0.5,
        bandwidth=0.3,
        robust=0.3,
        clean_depth=0.3,
        gain_amplitude_error=0.015,
        gain_phase_error=1.5,
        gain_interval=10.0,
        bowl_fraction=0.2,
        blank_edge=0.16,
    ),
)
BRIGHT = ((318.0, 602.0, 1300.0), (742.0, 236.0, 1100.0), (850.0, 700.0, 800.0))
"""x, y and S/N of the bright sources with sidelobes."""
AMID_SIDELOBES = (
    (331.0, 613.0, 40.0),
    (303.0, 594.0, 45.0),
    (757.0, 231.0, 40.0),
    (738.0, 221.0, 45.0),
    (839.0, 690.0, 30.0),
)
"""x, y and S/N of faint sources close to them."""

Builder = Callable[[np.random.Generator, Site], SourceModel]
EXTENDED: tuple[tuple[Builder, float, float, float, float, float], ...] = (
    # shape, x, y, length in beams, angle in degrees from +x, peak S/N
    (snr_shell, 560.0, 800.0, 24.0, 20.0, 18.0),
    (hii_irregular, 150.0, 330.0, 20.0, 0.0, 16.0),
    (spiral, 470.0, 420.0, 9.0, 40.0, 22.0),
    (odd_circle, 930.0, 480.0, 11.0, 0.0, 10.0),
    (filament, 640.0, 560.0, 22.0, 65.0, 11.0),
    (planetary_nebula, 60.0, 930.0, 3.0, 0.0, 40.0),
    (halo, 420.0, 640.0, 14.0, 30.0, 9.0),
    (relic, 510.0, 610.0, 10.0, 340.0, 12.0),
    (fr2, 200.0, 120.0, 20.0, 25.0, 90.0),
    (fr2, 520.0, 130.0, 12.0, 100.0, 45.0),
    (fr2, 930.0, 130.0, 8.0, 150.0, 120.0),
    (fr2, 390.0, 300.0, 6.0, 10.0, 40.0),
    (fr2, 880.0, 350.0, 15.0, 70.0, 60.0),
    (fr2, 700.0, 430.0, 5.0, 120.0, 80.0),
    (fr2, 760.0, 560.0, 10.0, 45.0, 40.0),
    (remnant, 120.0, 520.0, 14.0, 135.0, 25.0),
    (double_double, 620.0, 330.0, 20.0, 20.0, 60.0),
    (double_double, 330.0, 180.0, 13.0, 60.0, 40.0),
    (x_shaped, 180.0, 680.0, 16.0, 100.0, 70.0),
    (fr2, 720.0, 900.0, 7.0, 165.0, 30.0),
    (fr1, 420.0, 520.0, 12.0, 30.0, 80.0),
    (wide_angle_tail, 860.0, 820.0, 10.0, 80.0, 50.0),
    (narrow_angle_tail, 330.0, 60.0, 8.0, 0.0, 60.0),
    (head_tail, 120.0, 830.0, 16.0, 60.0, 45.0),
)


def make_sample() -> SimulatedSky:
    """Simulate the sample field."""
    canvas = np.zeros((CONFIG.size, CONFIG.size), dtype=np.float32)
    geometry = RadioMap.from_array(canvas, beam=sky_beam(CONFIG), wcs=sky_wcs(CONFIG))
    beam = geometry.beam_covariance
    rng = np.random.default_rng(SEED)
    sources = draw_sources(CONFIG, rng, noise=canvas + np.float32(CONFIG.rms), beam=beam)
    for x, y, snr in BRIGHT + AMID_SIDELOBES:
        sources.append(SourceModel("point", Gaussians(*np.array([[x, y, snr * CONFIG.rms, 0.0, 0.0, 0.0]]).T)))
    for builder, x, y, length, angle, snr in EXTENDED:
        site = Site(np.array([x, y]), length * CONFIG.beam_fwhm, math.radians(angle), beam)
        sources.append(with_peak(builder(rng, site), snr * CONFIG.rms, site=site))
    return _rounded(simulate_sky(CONFIG, seed=SEED, sources=sources))


def _rounded(sky: SimulatedSky) -> SimulatedSky:
    """The same field with pixels in steps of 1/32 of the noise, so that the file compresses well."""
    step = np.float32(CONFIG.rms / 32.0)
    pixels = np.rint(sky.radio_map.data / step) * step
    radio_map = RadioMap.from_array(pixels, beam=sky_beam(CONFIG), wcs=sky_wcs(CONFIG), frequency=CONFIG.frequency)
    return dataclasses.replace(sky, radio_map=radio_map)


def main() -> None:
    """Write the sample beside this script, or where ``-o`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().output
    for path in write_simulation(make_sample(), folder, map_name="sample_map.fits.gz"):
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
