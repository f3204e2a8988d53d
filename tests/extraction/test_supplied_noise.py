"""Noise and background maps that the user brings are used as they are."""

import numpy as np
import pytest

from neanias_ml.errors import InputError
from neanias_ml.extraction import FinderConfig, SourceFinder, SourceFlag, SuppliedNoise
from neanias_ml.maps import Window
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, make_sky, round_covariance

SHAPE = (160, 144)


@pytest.fixture(scope="module")
def sky():
    """A sky on a slope, with the true noise and background maps."""
    rng = np.random.default_rng(1)
    noise = 1e-4 * np.linspace(1, 3, SHAPE[1])[None, :] * np.ones(SHAPE)
    background = 1e-3 * np.linspace(-1, 1, SHAPE[0])[:, None] * np.ones(SHAPE)
    pixels = noise * correlated_noise(SHAPE, rng) + background
    for x, y, snr in ((30.0, 40.0, 40.0), (100.2, 41.0, 40.0), (60.0, 110.7, 15.0), (120.0, 120.0, 80.0)):
        pixels += snr * noise[0, round(x)] * gaussian(SHAPE, x, y, round_covariance(BEAM_PIXELS))
    return make_map(pixels), noise, background


def test_they_are_used_as_they_are(sky):
    radio_map, noise, background = sky
    supplied = SuppliedNoise(make_map(noise), make_map(background))
    extraction = SourceFinder()(radio_map, noise=supplied)
    assert extraction.noise is supplied
    table = extraction.islands.table
    assert len(table) == 4
    peak = np.s_[table.peak_y, table.peak_x]
    np.testing.assert_allclose(table.peak_flux, (radio_map.data - background)[peak], rtol=1e-4)
    labels = extraction.islands.labels
    significance = (radio_map.data - background.astype(np.float32)) / noise.astype(np.float32)
    for row in range(4):
        inside = labels == row + 1
        assert table.snr[row] == pytest.approx(significance[inside].max(), rel=1e-4)
        assert table.local_rms[row] == pytest.approx(noise[inside].mean(), rel=1e-5)
        assert table.local_background[row] == pytest.approx(background[inside].mean(), rel=1e-4)
    components = extraction.components
    np.testing.assert_allclose(components.local_rms, noise[np.rint(components.y).astype(int),
                                                           np.rint(components.x).astype(int)], rtol=0.05)  # fmt: skip
    assert (components.fit_quality == 3).all()


def test_twice_the_noise_is_half_the_significance(sky):
    radio_map, noise, background = sky
    config = FinderConfig(seed_threshold=4.0, merge_threshold=2.0)
    doubled = FinderConfig(seed_threshold=2.0, merge_threshold=1.0)
    one = SourceFinder(config)(radio_map, noise=SuppliedNoise(make_map(noise), make_map(background)))
    other = SourceFinder(doubled)(radio_map, noise=SuppliedNoise(make_map(2 * noise), make_map(background)))
    np.testing.assert_array_equal(one.islands.table.n_pixels, other.islands.table.n_pixels)
    np.testing.assert_array_equal(one.islands.table.snr, 2 * other.islands.table.snr)
    np.testing.assert_array_equal(one.islands.table.total_flux, other.islands.table.total_flux)


def test_without_a_background_map_it_is_zero(sky):
    radio_map, noise, _ = sky
    background, rms = SuppliedNoise(make_map(noise)).evaluate(Window(3, 9, 5, 15))
    assert background.shape == (6, 10) and not background.any()
    np.testing.assert_array_equal(rms, noise.astype(np.float32)[3:9, 5:15])
    extraction = SourceFinder()(radio_map, noise=SuppliedNoise(make_map(noise)))
    assert (extraction.islands.table.local_background == 0).all()


@pytest.mark.parametrize("count", [0, 1, 80])
@pytest.mark.parametrize("with_background", [True, False])
def test_single_pixels_have_the_values_of_the_maps(sky, count, with_background):
    _, noise, background = sky
    holed = noise.copy()
    holed[40:90, 30:70] = np.nan
    supplied = SuppliedNoise(make_map(holed), make_map(background) if with_background else None)
    rng = np.random.default_rng(count)
    y, x = (rng.integers(20, length, count).astype(np.int32) for length in SHAPE)
    for complete, single in zip(supplied.evaluate(), supplied.at(y, x), strict=True):
        assert single.dtype == np.float32
        np.testing.assert_array_equal(complete[y, x], single)


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1e-4])
@pytest.mark.parametrize("rows", [None, 7])
def test_pixels_without_a_positive_noise_are_blank(sky, bad, rows):
    radio_map, noise, background = sky
    holed = noise.copy()
    holed[38:44, 32:40] = bad  # beside the first source
    holed[100:, 90:] = bad  # over the last one
    extraction = SourceFinder(FinderConfig(search_extended=True), rows=rows)(
        radio_map, noise=SuppliedNoise(make_map(holed), make_map(background))
    )
    table = extraction.islands.table
    assert len(table) == 3 and not ((table.x > 88) & (table.y > 98)).any()
    flags = [SourceFlag(int(flag)) for flag in table.flags[np.argsort(table.x)]]
    assert [SourceFlag.BLANKED in flag for flag in flags] == [True, False, False]
    for name in ("total_flux", "total_flux_err", "peak_flux", "snr", "local_rms", "major"):
        assert np.isfinite(getattr(table, name)).all()
    assert (extraction.components.fit_quality > 0).all()
    holes = ~(holed > 0)
    assert not (extraction.islands.labels > 0)[holes].any()


def test_blank_background_pixels_are_blank(sky):
    radio_map, noise, background = sky
    holed = background.copy()
    holed[38:44, 32:40] = np.nan
    extraction = SourceFinder()(radio_map, noise=SuppliedNoise(make_map(noise), make_map(holed)))
    table = extraction.islands.table
    assert len(table) == 4 and np.isfinite(table.total_flux).all()
    assert np.count_nonzero(table.flags & SourceFlag.BLANKED) == 1


@pytest.mark.parametrize("which", ["noise", "background"])
def test_maps_of_another_shape_are_refused(sky, which):
    radio_map, noise, _ = sky
    small, fit = make_map(np.ones((20, 30))), make_map(noise)
    supplied = SuppliedNoise(small) if which == "noise" else SuppliedNoise(fit, small)
    with pytest.raises(InputError, match=f"the {which} map has 30 x 20 pixels, the map 144 x 160") as caught:
        SourceFinder()(radio_map, noise=supplied)
    assert caught.value.code == "NoiseMapShape" and caught.value.exit_code == 3


def test_an_estimate_saved_and_supplied_gives_the_same_islands():
    radio_map, _ = make_sky(2, shape=(200, 180), n_sources=16)
    first = SourceFinder()(radio_map)
    background, noise = first.noise.evaluate()
    again = SourceFinder()(radio_map, noise=SuppliedNoise(make_map(noise), make_map(background)))
    for name in ("n_pixels", "total_flux", "peak_flux", "snr", "x", "flags"):
        np.testing.assert_array_equal(getattr(first.islands.table, name), getattr(again.islands.table, name))


def test_passes_with_lower_seeds_keep_the_supplied_noise(sky):
    radio_map, noise, background = sky
    supplied = SuppliedNoise(make_map(noise), make_map(background))
    extraction = SourceFinder(FinderConfig(seed_iterations=3))(radio_map, noise=supplied)
    assert extraction.noise is supplied and extraction.negatives.seed_threshold == 4.0
