import dataclasses

import numpy as np
import pytest

from neanias_ml.errors import UsageError
from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.components.fit_islands import fit_islands
from neanias_ml.extraction.components.fit_results import FittedComponents, StartPeaks
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.tables import SourceFlag
from tests.conftest import correlated_noise, gaussian, round_covariance
from tests.extraction.fit_tools import BEAM, injected, islands_of, whole_stamp

BEAM_AREA = 2.0 * np.pi * BEAM[0, 0]


def matched(fitted, truth):
    distance = np.hypot(fitted.x[:, None] - truth[:, 0], fitted.y[:, None] - truth[:, 1])
    best = distance.argmin(axis=0)
    near = distance[best, np.arange(len(truth))] < 3.0
    return best[near], truth[near]


@pytest.mark.parametrize(("peaks", "limit"), [((7.0, 10.0), 0.05), ((10.0, 30.0), 0.02)])
def test_fluxes_of_points_are_unbiased(peaks, limit):
    """Down to where the threshold itself selects upward fluctuations."""
    rng = np.random.default_rng(1)
    image, truth = injected(rng, peaks=peaks, side=18)
    fitted = fit_islands(islands_of(image, seed=4.0), beam_covariance=BEAM)
    best, truth = matched(fitted, truth)
    assert len(best) > 310 and fitted.shape_fixed[best].mean() > 0.9
    ratio = fitted.total_flux(BEAM_AREA)[best] / truth[:, 2]
    assert abs(np.median(ratio) - 1.0) < limit
    assert abs(np.median(fitted.amplitude[best] / truth[:, 2]) - 1.0) < limit


def test_fluxes_of_resolved_sources_are_unbiased():
    rng = np.random.default_rng(2)
    image, truth = injected(rng, peaks=(12.0, 30.0), shape=2.0 * BEAM)
    fitted = fit_islands(islands_of(image), beam_covariance=BEAM)
    best, truth = matched(fitted, truth)
    assert (~fitted.shape_fixed[best]).mean() > 0.95
    assert abs(np.median(fitted.total_flux(BEAM_AREA)[best] / (2.0 * truth[:, 2])) - 1.0) < 0.04


def test_peak_bias_is_that_of_a_maximum_over_the_position():
    """A wide island of a beam-shaped source: (a^2 sigma^2 s^2) / (2 a s^2) with a = 3 / 2, by Gaussian integrals."""
    image = 10.0 * gaussian((41, 41), 20.0, 20.0, BEAM)
    fitted = fit_islands(whole_stamp(image), beam_covariance=BEAM)
    assert fitted.peak_bias[0] == pytest.approx(0.0075, rel=0.05)
    assert fitted.amplitude[0] == pytest.approx(10.0 * 0.9925, rel=1e-3)


def test_shoulders_become_components_and_single_points_stay_one():
    rng = np.random.default_rng(3)
    image, truth = injected(rng, peaks=(25.0, 40.0))
    single = fit_islands(islands_of(image), beam_covariance=BEAM)
    assert (single.islands.n_components == 1).mean() > 0.97
    for x, y, peak in truth:
        x0, y0 = int(x) - 15, int(y) - 15
        angle = rng.uniform(0, 2 * np.pi)
        stamp = image[y0 : y0 + 31, x0 : x0 + 31]
        stamp += 0.6 * peak * gaussian(stamp.shape, x - x0 + 4.4 * np.cos(angle), y - y0 + 4.4 * np.sin(angle), BEAM)
    blends = fit_islands(islands_of(image), beam_covariance=BEAM)
    lonely = fit_islands(islands_of(image), beam_covariance=BEAM, config=FitConfig(evidence=1e9, shape_evidence=1e9))
    assert (lonely.islands.n_components == 1).mean() > 0.5
    assert (blends.islands.n_components == 2).mean() > 0.85
    best, truth = matched(blends, truth)
    assert abs(np.median(blends.amplitude[best] / truth[:, 2]) - 1.0) < 0.03


def test_positions_of_points_approach_the_limit_of_the_noise():
    """Scatter of a coordinate in units of s / snr: 1.06 by Gaussian integrals, where equal weights have 1.41."""
    rng = np.random.default_rng(8)
    image, truth = injected(rng, peaks=(12.0, 40.0), side=18)
    fitted = fit_islands(islands_of(image), beam_covariance=BEAM)
    best, truth = matched(fitted, truth)
    offsets = np.stack([fitted.x[best] - truth[:, 0], fitted.y[best] - truth[:, 1]]) * truth[:, 2]
    scatter = 1.4826 * np.median(np.abs(offsets)) / np.sqrt(BEAM[0, 0])
    assert len(best) > 310 and 0.95 < scatter < 1.2


def test_residuals_of_bright_sources_and_noise_are_no_components():
    """A beam that is one per cent of the peak off, and noise around faint sources."""
    rng = np.random.default_rng(9)
    bright = 2000.0 * gaussian((41, 41), 20.0, 20.0, BEAM) + 20.0 * gaussian((41, 41), 26.0, 22.0, BEAM)
    single = fit_islands(islands_of(bright + correlated_noise((41, 41), rng)), beam_covariance=BEAM)
    assert len(single) == 1
    real = 2000.0 * gaussian((41, 41), 20.0, 20.0, BEAM) + 80.0 * gaussian((41, 41), 26.0, 22.0, BEAM)
    double = fit_islands(islands_of(real + correlated_noise((41, 41), rng)), beam_covariance=BEAM)
    assert len(double) == 2 and double.amplitude[1] == pytest.approx(80.0, rel=0.1)
    image, _ = injected(rng, peaks=(6.0, 12.0), side=18, spacing=30)
    faint = fit_islands(islands_of(image), beam_covariance=BEAM)
    several = faint.islands.n_components[faint.island_row] > 1
    assert (faint.amplitude[several] > 4.3).all() and several.sum() < 0.05 * len(faint)


def test_result_does_not_depend_on_workers_or_on_where_the_island_lies():
    rng = np.random.default_rng(4)
    image, _ = injected(rng, peaks=(6.0, 60.0), shape=1.4 * BEAM, side=20)
    pixels = islands_of(image)
    alone, shared = (fit_islands(pixels, beam_covariance=BEAM, workers=workers) for workers in (1, 3))
    for field in dataclasses.fields(FittedComponents):
        if field.name != "islands":
            np.testing.assert_array_equal(getattr(alone, field.name), getattr(shared, field.name))
    half = fit_islands(pixels.select(np.arange(100, 200)), beam_covariance=BEAM)
    rows = (alone.island_row >= 100) & (alone.island_row < 200)
    np.testing.assert_array_equal(half.parameters, alone.parameters[rows])
    far = dataclasses.replace(pixels, x=pixels.x + 40_000, y=pixels.y + 60_000)
    moved = fit_islands(far, beam_covariance=BEAM)
    np.testing.assert_allclose(moved.parameters[:, 0], alone.parameters[:, 0], atol=1e-9)
    np.testing.assert_allclose(moved.x - 40_000, alone.x, atol=1e-6)


def test_sources_on_extended_emission_are_fitted_on_a_plane():
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:31, :31]
    errors = []
    for _ in range(20):
        image = 12.0 + 0.4 * columns - 0.2 * rows + correlated_noise((64, 64), rng)[:31, :31]
        image += 25.0 * gaussian((31, 31), 15.2, 14.7, BEAM)
        pixels, start = whole_stamp(image), StartPeaks(np.array([0, 1]), np.array([15.0]), np.array([15.0]))
        fitted = fit_islands(pixels, beam_covariance=BEAM, with_offset=np.array([True]), starts=start)
        brightest = int(np.argmax(fitted.amplitude))
        errors.append(
            (fitted.amplitude[brightest] - 25.0) / (fitted.amplitude * np.sqrt(fitted.errors[:, 0, 0]))[brightest]
        )
        assert fitted.islands.plane_level[0] == pytest.approx(12.0, abs=3.0)
    assert abs(np.mean(errors)) < 0.8 and np.std(errors) < 1.6


def test_given_peaks_replace_the_found_ones():
    image = 30.0 * gaussian((41, 41), 12.0, 20.0, BEAM) + 25.0 * gaussian((41, 41), 28.0, 20.0, BEAM)
    pixels = whole_stamp(image)
    starts = StartPeaks(np.array([0, 1]), np.array([27.0]), np.array([20.0]))
    config = FitConfig(max_components=1)
    found = fit_islands(pixels, beam_covariance=BEAM, config=config)
    given = fit_islands(pixels, beam_covariance=BEAM, config=config, starts=starts)
    assert found.x[0] == pytest.approx(12.0, abs=0.2) and given.x[0] == pytest.approx(28.0, abs=0.2)


def test_many_peaks_are_flagged_and_limited():
    image = sum(20.0 * gaussian((80, 80), x, y, BEAM) for x in range(8, 80, 8) for y in range(8, 80, 8))
    fitted = fit_islands(whole_stamp(image), beam_covariance=BEAM, config=FitConfig(max_components=5))
    assert len(fitted) == 5 and (fitted.flags & SourceFlag.MANY_COMPONENTS).all()


def test_islands_without_a_fit_keep_their_moments():
    image = np.zeros((9, 9))
    image[4, 4:6] = 8.0
    lone = islands_of(image, margin=0.0)
    fitted = fit_islands(lone, beam_covariance=BEAM)
    assert fitted.quality[0] == 0 and fitted.flags[0] & SourceFlag.FIT_FAILED and np.isnan(fitted.residual_rms[0])
    assert fitted.total_flux(BEAM_AREA)[0] == pytest.approx(16.0 / BEAM_AREA, rel=1e-6)
    assert fitted.x[0] == pytest.approx(4.5, abs=0.01) and np.isfinite(fitted.errors).all()


def test_shapes_that_are_no_gaussians_are_graded_poor():
    rng = np.random.default_rng(6)
    rows, columns = np.mgrid[:300, :300]
    radius = np.hypot(columns - 150, rows - 150)
    image = correlated_noise((300, 300), rng) + 60.0 * ((radius > 90) & (radius < 110)) + 30.0 * (radius < 110)
    fitted = fit_islands(islands_of(image), beam_covariance=BEAM)
    largest = int(np.argmax(fitted.islands.n_data))
    assert not fitted.islands.acceptable[largest] and fitted.islands.residual_rms[largest] > 2.5
    good = fit_islands(whole_stamp(20.0 * gaussian((31, 31), 15, 15, BEAM)), beam_covariance=BEAM)
    assert good.islands.acceptable.all() and good.quality[0] == 3


def test_finely_sampled_beams_are_thinned_without_loss():
    """The same sky with pixels of a third: fluxes and errors agree though one ninth of the pixels is used."""
    fine_beam = 9.0 * BEAM
    image = 15.0 * gaussian((151, 151), 74.0, 77.0, 1.6 * fine_beam)
    fitted = fit_islands(islands_of(image, margin=7.5), beam_covariance=fine_beam)
    coarse = fit_islands(islands_of(15.0 * gaussian((51, 51), 74.0 / 3, 77.0 / 3, 1.6 * BEAM)), beam_covariance=BEAM)
    assert fitted.islands.n_data[0] < 300
    assert fitted.total_flux(9.0 * BEAM_AREA)[0] == pytest.approx(coarse.total_flux(BEAM_AREA)[0], rel=1e-3)
    np.testing.assert_allclose(np.diag(fitted.errors[0])[[0, 3, 5]], np.diag(coarse.errors[0])[[0, 3, 5]], rtol=0.1)


def test_no_islands_give_no_components():
    nothing = IslandPixels.from_labels(
        np.zeros((5, 5), np.int32), flux=np.zeros((5, 5), np.float32), noise=np.ones((5, 5), np.float32)
    )
    fitted = fit_islands(nothing, beam_covariance=BEAM)
    assert len(fitted) == 0 and len(fitted.islands) == 0 and fitted.islands.quality.dtype == np.int64


def test_parts_are_joined_selected_and_renamed():
    rng = np.random.default_rng(7)
    image, _ = injected(rng, peaks=(10.0, 20.0), side=4)
    fitted = fit_islands(islands_of(image), beam_covariance=BEAM)
    moments = FittedComponents.from_moments(
        np.array([40]), fitted.parameters[:1], fitted.errors[:1], flags=np.array([int(SourceFlag.FIT_FAILED)])
    )
    both = FittedComponents.joined([fitted.on_rows(np.arange(len(fitted.islands)) + 7), moments])
    assert both.island_row[0] == 7 and both.island_row[-1] == 40 and len(both) == len(fitted) + 1
    assert len(both.islands) == len(fitted.islands) and both.quality[-1] == 0
    bright = both.select(both.amplitude > 15.0).flagged(SourceFlag.EDGE)
    assert (bright.flags & SourceFlag.EDGE).all() and (bright.amplitude > 15.0).all()
    assert len(FittedComponents.joined([])) == 0
    np.testing.assert_allclose(
        fitted.covariance[fitted.shape_fixed], np.broadcast_to(BEAM, (fitted.shape_fixed.sum(), 2, 2))
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "round"},
        {"min_added_snr": np.nan},
        {"min_kept_snr": 0.0},
        {"min_prominence": -1.0},
        {"evidence": -1.0},
        {"shape_evidence": -1.0},
        {"max_components": 0},
        {"max_components": 33},
        {"max_fit_pixels": 10},
        {"max_fit_beams": 0.0},
        {"max_iterations": 1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        FitConfig(**wrong)


def test_elongated_beams_keep_their_angle():
    beam = np.array([[9.0, 4.0], [4.0, 6.0]])
    image = 20.0 * gaussian((51, 51), 25.3, 24.6, beam) + 12.0 * gaussian(
        (51, 51), 34.0, 31.0, beam + round_covariance(4.0)
    )
    fitted = fit_islands(islands_of(image), beam_covariance=beam)
    assert len(fitted) == 2
    np.testing.assert_allclose(fitted.covariance[0], beam, rtol=0.03)
    np.testing.assert_allclose(fitted.x, [25.3, 34.0], atol=0.2)
