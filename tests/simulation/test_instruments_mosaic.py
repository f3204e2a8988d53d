"""Pointings: their noise, borders and the sidelobes that go through them; blank pixels."""

from __future__ import annotations

import numpy as np
import pytest

from neanias_ml.errors import UsageError
from neanias_ml.simulation.imaging.artefacts import sidelobe_artefacts
from neanias_ml.simulation.imaging.blanks import blank_mask
from neanias_ml.simulation.imaging.mosaic import Mosaic, draw_mosaic, pointing_groups, sensitivity, sidelobe_share
from neanias_ml.simulation.imaging.noise import rms_map
from tests.simulation.makers import RMS, field, observed, point, quiet

TWO = Mosaic(np.array([40.0, 90.0]), np.array([50.0, 70.0]), np.array([1.0, 0.25]), fwhm=60.0, cutoff=0.2)


def power(distance, fwhm):
    return np.exp(-4 * np.log(2) * (distance / fwhm) ** 2)


def test_the_depth_of_a_mosaic_is_the_weighted_sum_of_its_pointings():
    found = sensitivity(TWO, (128, 120))
    rows, columns = np.mgrid[:128, :120]
    expected = np.zeros((128, 120))
    for x, y, depth in ((40.0, 50.0, 1.0), (90.0, 70.0, 0.25)):
        response = power(np.hypot(columns - x, rows - y), 60.0)
        expected += np.where(response >= 0.2, depth * response**2, 0.0)
    # single pixels on the rim may fall to either side in single precision
    wrong = np.abs(found - expected) > 1e-5
    assert wrong.sum() < 5


def test_the_noise_map_is_the_inverse_root_of_the_depth():
    config = quiet(mosaic="hexagonal", primary_beam=0.25, mosaic_extent=0.7, size=200, pointing_scatter=0.2)
    mosaic = draw_mosaic(config, np.random.default_rng(3))
    rms, depth = rms_map(config, np.random.default_rng(4), mosaic=mosaic), sensitivity(mosaic, (200, 200))
    covered = depth > 0
    assert np.ptp(rms[covered] * np.sqrt(depth[covered])) < 1e-4 * RMS * np.sqrt(depth.max())
    assert np.median(rms[covered]) == pytest.approx(RMS, rel=1e-3)
    assert 0 < covered.mean() < 1
    assert rms[~covered] == pytest.approx(rms[covered].max())


def test_a_single_pointing_has_the_noise_of_its_primary_beam_and_ends_at_the_cutoff():
    sky = field(mosaic="single", primary_beam=0.8, mosaic_cutoff=0.3, size=256)
    radius = np.hypot(*(np.mgrid[:256, :256] - 127.5))
    limit = 0.8 * 256 * np.sqrt(np.log(1 / 0.3) / (4 * np.log(2)))
    blank = np.isnan(sky.radio_map.data)
    assert blank[radius > limit + 1].all() and not blank[radius < limit - 1].any()
    ratio = sky.thermal_rms[127, 127 + 80] / sky.thermal_rms[127, 127]
    assert ratio == pytest.approx(1 / power(79.5, 0.8 * 256), rel=0.01)


@pytest.mark.parametrize("pattern", ["square", "hexagonal"])
def test_patterns_have_their_spacing_and_number_of_neighbours(pattern):
    config = quiet(mosaic=pattern, primary_beam=0.3, pointing_spacing=0.6, mosaic_extent=2.0, size=256)
    mosaic = draw_mosaic(config, np.random.default_rng(5))
    place = np.stack([mosaic.x, mosaic.y], -1)
    distance = np.hypot(*(place[:, None] - place).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    spacing = 0.6 * 0.3 * 256
    assert distance.min() == pytest.approx(spacing, rel=1e-9)
    middle = np.argmin(np.hypot(*(place - 127.5).T))
    near = (distance[middle] < 1.01 * spacing).sum()
    assert near == {"square": 4, "hexagonal": 6}[pattern]


def test_close_pointings_give_even_noise_and_wide_ones_do_not():
    ratios = []
    for spacing in (0.5, 0.95):
        config = quiet(mosaic="square", primary_beam=0.3, pointing_spacing=spacing, mosaic_extent=2.0, size=256)
        mosaic = draw_mosaic(config, np.random.default_rng(5))
        depth = sensitivity(mosaic, (256, 256))
        ratios.append(np.sqrt(depth.max() / max(depth.min(), 1e-6)))
    assert ratios[0] < 1.1 < 1.3 < ratios[1]


def test_a_small_mosaic_has_a_scalloped_border_inside_the_map():
    sky = field(mosaic="square", primary_beam=0.2, mosaic_extent=0.6, size=256)
    blank = np.isnan(sky.radio_map.data)
    assert 0.2 < blank.mean() < 0.9
    assert not blank[118:138, 118:138].any()


def test_pointings_that_miss_the_map_are_refused():
    config = quiet(mosaic="single", primary_beam=0.02, mosaic_cutoff=0.9)
    with pytest.raises(UsageError, match="no pointing covers a pixel"):
        rms_map(config, np.random.default_rng(1), mosaic=draw_mosaic(config, np.random.default_rng(2)))


def test_missing_pointings_leave_fewer():
    config = quiet(mosaic="square", primary_beam=0.2, size=256)
    fewer = quiet(mosaic="square", primary_beam=0.2, size=256, missing_pointings=0.5)
    counts = [len(draw_mosaic(c, np.random.default_rng(6)).x) for c in (config, fewer)]
    assert 0.2 * counts[0] < counts[1] < 0.8 * counts[0]


def test_no_primary_beam_no_pointings():
    assert draw_mosaic(quiet(), np.random.default_rng(1)) is None


def test_the_shares_of_all_pointings_add_up_and_are_one_at_the_source():
    total = sensitivity(TWO, (128, 120))
    groups = pointing_groups(TWO, x=60.0, y=58.0, most=2)
    assert [list(group) for group in groups] == [[0], [1]]
    parts = [sidelobe_share(TWO, group, x=60.0, y=58.0, total=total) for group in groups]
    (everything,) = pointing_groups(TWO, x=60.0, y=58.0, most=1)
    assert sum(parts) == pytest.approx(sidelobe_share(TWO, everything, x=60.0, y=58.0, total=total), abs=1e-6)
    assert sum(parts)[58, 60] == pytest.approx(1.0, abs=1e-5)


def test_pointings_that_do_not_see_a_source_show_no_sidelobes_of_it():
    config, beam, coverage = observed(clean_depth=0.2, size=512, hour_angle_span=0.2)
    noise = np.full((512, 512), RMS, np.float32)
    mosaic = Mosaic(np.array([100.0, 400.0]), np.array([256.0, 256.0]), np.ones(2), fwhm=80.0, cutoff=0.1)
    found = sidelobe_artefacts(
        config, np.random.default_rng(1), [point(100.0, 256.0, 5000)],
        coverage=coverage, beam=beam, noise=noise, mosaic=mosaic,
    ).image  # fmt: skip
    assert found[230:280, 110:140].std() > 30 * found[230:280, 385:415].std()


def test_holes_blank_out_the_brightest_sources():
    config = quiet(blank_holes=2.0)
    model = np.zeros((128, 128), np.float32)
    model[30, 40], model[90, 100] = 5.0, 3.0
    masks = [blank_mask(config, np.random.default_rng(seed), model=model) for seed in range(20)]
    assert any(mask[30, 40] for mask in masks) and not all(mask[30, 40] for mask in masks)
    assert all(mask[30, 40] for mask in masks if mask.any())  # the brightest goes first
    assert any(mask[90, 100] for mask in masks)
    assert not blank_mask(quiet(), np.random.default_rng(1), model=model).any()


@pytest.mark.parametrize("seed", range(8))
def test_cut_edges_have_the_configured_depth(seed):
    mask = blank_mask(quiet(blank_edge=0.25), np.random.default_rng(seed))
    assert 0.01 < mask.mean() < 0.35
    assert not mask[64, 64]
