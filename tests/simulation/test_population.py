"""Numbers, fluxes, sizes and places of the sources that are drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree

from neanias_ml.errors import UsageError
from neanias_ml.simulation import PopulationConfig, SkyConfig, random_config
from neanias_ml.simulation.sources.cirrus import cirrus_map
from neanias_ml.simulation.sources.compact import draw_places
from neanias_ml.simulation.sources.counts import (
    brightest_flux,
    density_above,
    draw_fluxes,
    draw_sizes,
    flux_scale,
    star_forming_share,
)
from neanias_ml.simulation.sources.families import EDGE_BRIGHTENED
from neanias_ml.simulation.sources.population import draw_sources
from neanias_ml.simulation.sources.shapes import oriented_covariance
from neanias_ml.simulation.truth import MORPHOLOGIES
from tests.simulation.makers import changed

ALONE = {
    "compact_density": 0.0, "double_density": 0.0, "jet_density": 0.0, "tail_density": 0.0, "galaxy_density": 0.0,
    "nebula_density": 0.0, "diffuse_density": 0.0, "cluster_density": 0.0, "bright_sources": 0.0,
    "outside_sources": 0.0, "pair_fraction": 0.0,
}  # fmt: skip
"""No sources at all."""


def drawn(config, seed=1):
    noise = np.full((config.size, config.size), config.rms, dtype=np.float32)
    beam = oriented_covariance(config.beam_fwhm, config.beam_fwhm, 0.0)
    return draw_sources(config, np.random.default_rng(seed), noise=noise, beam=beam)


@pytest.mark.parametrize(
    ("flux", "expected"), [(1e-5, 16300.0), (1e-3, 90.0), (2.5e-3, 53.0)], ids=["DEEP2", "FIRST", "NVSS"]
)
def test_counts_agree_with_surveys_at_1400_mhz(flux, expected):
    # sources per square degree: DEEP2 (Matthews et al. 2021), FIRST (Becker et al. 1995), NVSS (Condon et al. 1998)
    assert density_above(flux, frequency=1.4e9) == pytest.approx(expected, rel=0.2)


def test_fluxes_scale_with_the_mean_spectral_index():
    assert flux_scale(144e6) == pytest.approx((144.0 / 1400.0) ** -0.7)
    low = density_above(1e-3 * flux_scale(144e6), frequency=144e6)
    assert low == pytest.approx(density_above(1e-3, frequency=1.4e9), rel=1e-3)


def test_drawn_fluxes_follow_the_counts():
    fluxes = draw_fluxes(np.random.default_rng(3), faintest=1e-4, area=30.0, frequency=888e6)
    assert fluxes.min() >= 1e-4
    for limit in (1e-4, 1e-3, 1e-2):
        expected = 30.0 * density_above(limit, frequency=888e6)
        assert (fluxes > limit).sum() == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.01 * expected)


def test_one_source_of_a_field_is_brighter_than_the_expected_brightest():
    for area in (0.01, 1.0, 100.0):
        brightest = brightest_flux(area, frequency=888e6)
        assert area * density_above(brightest, frequency=888e6) == pytest.approx(1.0, rel=1e-2)


def test_a_limit_above_all_sources_draws_none():
    assert len(draw_fluxes(np.random.default_rng(1), faintest=1e4, area=1.0, frequency=1.4e9)) == 0


def test_sizes_have_the_published_median_and_tail():
    sizes = draw_sizes(np.random.default_rng(1), np.full(100_000, 1e-2))
    median = 2.0 * 10**0.3
    assert np.median(sizes) == pytest.approx(median, rel=0.02)
    assert np.mean(sizes > 4 * median) == pytest.approx(2.0 ** -(4**0.62), rel=0.05)


def test_faint_sources_form_stars_and_bright_ones_do_not():
    share = star_forming_share(np.array([5e-5, 2e-4, 1e-3, 1.0]))
    assert share == pytest.approx([0.78, 0.5, 0.19, 0.0], abs=0.02)


def test_a_published_field_holds_what_its_area_and_rms_give():
    published = dataclasses.replace(
        changed(SkyConfig(size=600), **{**ALONE, "compact_density": 60.0}, counts="published"), rms=3e-5
    )
    sources = drawn(published)
    area = (600 * 2.2 / 3600.0) ** 2
    expected = area * density_above(3 * 3e-5, frequency=published.frequency)
    assert len(sources) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert min(source.total_flux for source in sources) > 3 * 3e-5 * 0.99
    deep = drawn(dataclasses.replace(published, rms=1.5e-5))
    assert len(deep) > 1.3 * len(sources)


def test_published_radio_galaxies_show_their_shape_where_they_are_resolved():
    config = dataclasses.replace(
        changed(SkyConfig(size=1500), **ALONE, counts="published"), rms=3e-5, beam_major=6.0, beam_minor=6.0
    )
    sources = drawn(config)
    kinds = {source.kind for source in sources}
    assert {"point", "gauss", "FR-I", "FR-II"} <= kinds <= set(MORPHOLOGIES)
    shaped = [source for source in sources if source.kind not in ("point", "gauss")]
    assert 0.002 < len(shaped) / len(sources) < 0.2


def test_densities_count_objects_per_thousand_beams():
    config = changed(SkyConfig(size=1000), **{**ALONE, "double_density": 4.0, "tail_density": 2.0})
    morphology = [MORPHOLOGIES[source.kind] for source in drawn(config)]
    beams = config.n_beams / 1000.0
    edge = sum(name in ("FR-II", "remnant", "double-double", "winged") for name in morphology)
    assert edge == pytest.approx(4.0 * beams, abs=4 * np.sqrt(4.0 * beams))
    assert morphology.count("bent") == pytest.approx(2.0 * beams, abs=4 * np.sqrt(2.0 * beams))
    assert edge + morphology.count("bent") == len(morphology)


def test_every_family_appears_in_a_rich_field():
    densities = {name: 2.0 for name in ALONE if name.endswith("density")}
    found = {MORPHOLOGIES[source.kind] for source in drawn(changed(SkyConfig(size=1000), **densities))}
    assert found == set(MORPHOLOGIES.values())


def test_shapes_are_drawn_in_their_shares():
    rng = np.random.default_rng(1)
    names = [EDGE_BRIGHTENED.draw(rng).__name__ for _ in range(2000)]
    assert names.count("fr2") / 2000 == pytest.approx(0.82, abs=0.04)


def close_pairs(fraction):
    places = draw_places(changed(SkyConfig(size=2000), clustered_fraction=fraction), np.random.default_rng(1), 2000)
    return len(cKDTree(places).query_pairs(20.0))


def test_groups_raise_the_number_of_close_pairs():
    poisson = 0.5 * 2000**2 * np.pi * 20**2 / 2000**2
    assert close_pairs(0.0) == pytest.approx(poisson, abs=5 * np.sqrt(poisson))
    assert close_pairs(0.5) > 1.4 * poisson


def test_cirrus_has_its_amplitude_and_spectrum_within_the_scales_the_array_sees():
    config = changed(SkyConfig(size=512), cirrus_amplitude=2.0, cirrus_scale=20.0, cirrus_slope=2.8)
    beam = oriented_covariance(config.beam_fwhm, config.beam_fwhm, 0.0)
    power = np.zeros((512, 512))
    for seed in range(4):
        image = cirrus_map(config, np.random.default_rng(seed), beam=beam)
        assert image.std() == pytest.approx(2.0 * config.rms, rel=1e-3)
        window = np.hanning(512)
        power += np.abs(np.fft.fft2((image - image.mean()) * window * window[:, None])) ** 2
    k = np.hypot(np.fft.fftfreq(512), np.fft.fftfreq(512)[:, None])
    beam_power = np.exp(-4 * np.pi**2 * k**2 * beam[0, 0])

    def mean(low, high):
        ring = (k >= low) & (k < high)
        return np.mean(power[ring] / beam_power[ring])

    slope = np.log(mean(0.04, 0.05) / mean(0.016, 0.02)) / np.log(2.5)
    assert slope == pytest.approx(-2.8, abs=0.5)
    # beyond 100 pixels a tenth at most is left of what the power law would have
    assert mean(0.002, 0.004) / mean(0.016, 0.02) < 0.1 * 6.0**2.8


def test_no_cirrus_is_exactly_nothing():
    assert not cirrus_map(SkyConfig(size=64), np.random.default_rng(1), beam=np.eye(2)).any()


def test_a_stored_configuration_comes_back():
    config = random_config(np.random.default_rng(3), size=100)
    assert SkyConfig.from_dict(dataclasses.asdict(config)) == config
    assert SkyConfig.from_dict({"size": 100}) == SkyConfig(size=100)


@pytest.mark.parametrize("values", [{"compact_density": 5.0}, {"population": {"triples": 1.0}}])
def test_a_configuration_of_another_version_is_refused(values):
    with pytest.raises(UsageError, match="does not fit this version"):
        SkyConfig.from_dict(values)


def test_unknown_counts_are_refused():
    with pytest.raises(UsageError, match="'real' is not one of crowded, published"):
        PopulationConfig(counts="real")
