"""Measures of islands against sums by hand, simulated shapes and the flux that a threshold cuts off."""

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.extraction import FinderConfig, MeshNoise, SourceFinder, SourceFlag
from neanias_ml.extraction.islands.gather import gather
from neanias_ml.extraction.islands.measure import integrated_flux_error, island_kind, measure_islands
from neanias_ml.extraction.islands.search import islands_above, scan_map
from neanias_ml.extraction.islands.wings import grown_sums
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, make_sky, round_covariance


def flat_noise(shape, rms):
    return MeshNoise(np.zeros((1, 1)), np.full((1, 1), rms), max(shape), shape)


def measured(radio_map, noise, *, merge=2.6, seed=5.0, margin=0.5 * BEAM_PIXELS):
    runs = islands_above(scan_map(radio_map, noise, merge=merge).positive, seed=seed, min_pixels=2)
    gathered = gather(radio_map, noise, runs, margin=margin)
    return runs, gathered, measure_islands(radio_map, gathered, merge=merge, extended_flux_excess=0.4)


def test_every_measure_equals_the_sum_by_hand():
    radio_map, _ = make_sky(1, shape=(160, 160), n_sources=9, snr=(10, 60))
    noise = MeshNoise(np.full((2, 2), 2e-5), np.array([[1e-4, 1.2e-4], [0.9e-4, 1e-4]]), 80, (160, 160))
    runs, gathered, table = measured(radio_map, noise)
    labels = runs.paint(radio_map.extent)
    background, rms = noise.evaluate()
    flux = radio_map.data.astype(float) - background
    index = np.arange(1, len(table) + 1)
    assert len(table) >= 9
    np.testing.assert_array_equal(table.island_id, index)
    np.testing.assert_array_equal(table.n_pixels, ndimage.sum_labels(labels > 0, labels, index))
    np.testing.assert_allclose(table.peak_flux, ndimage.maximum(flux, labels, index), rtol=1e-6)
    np.testing.assert_allclose(table.snr, ndimage.maximum(flux / rms, labels, index), rtol=1e-6)
    np.testing.assert_allclose(table.local_rms, ndimage.mean(rms, labels, index), rtol=1e-6)
    np.testing.assert_allclose(table.local_background, ndimage.mean(background, labels, index), rtol=1e-5)
    centres = np.array(ndimage.center_of_mass(flux, labels, index))
    np.testing.assert_allclose(np.stack([table.y, table.x], axis=1), centres, atol=1e-4)
    peaks = np.array(ndimage.maximum_position(flux, labels, index))
    np.testing.assert_array_equal(np.stack([table.peak_y, table.peak_x], axis=1), peaks)
    area = radio_map.beam_area
    np.testing.assert_allclose(table.n_beams, table.n_pixels / area)
    for row, island in enumerate(gathered.pixels):
        total = flux[island.y, island.x].sum() / area
        assert table.total_flux[row] == pytest.approx(total, rel=1e-5)
        own = labels == row + 1
        y, x = np.nonzero(own)
        covariance = np.cov(np.stack([x, y]), aweights=flux[own], ddof=0)
        size = np.sqrt(np.linalg.eigvalsh(covariance)[::-1]) * np.sqrt(8 * np.log(2))
        np.testing.assert_allclose([table.major[row], table.minor[row]], size, rtol=1e-4)
    sky = radio_map.sky.to_sky(table.x, table.y)
    np.testing.assert_allclose(table.ra, sky[0])
    np.testing.assert_allclose(table.dec, sky[1])


def test_errors_of_sums_are_those_of_correlated_noise():
    """The scatter of sums over discs of beam-convolved noise."""
    rng = np.random.default_rng(2)
    noise = correlated_noise((1024, 1024), rng)
    area = make_map(noise).beam_area
    for radius, tolerance in ((3, 0.25), (20, 0.12), (40, 0.15)):
        rows, cols = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = (rows**2 + cols**2 <= radius**2).astype(float)
        sums = np.fft.irfft2(np.fft.rfft2(noise) * np.fft.rfft2(disc, s=noise.shape), s=noise.shape) / area
        expected = integrated_flux_error(np.ones(1), np.array([int(disc.sum())]), area)[0]
        assert sums.std() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("snr", [6.0, 20.0, 200.0])
@pytest.mark.parametrize("merge", [2.0, 2.6, 4.0])
def test_a_point_source_of_any_brightness_is_compact(snr, merge):
    pixels = snr * gaussian((64, 64), 31.3, 30.8, round_covariance(BEAM_PIXELS))
    _, _, table = measured(make_map(pixels), flat_noise((64, 64), 1.0), merge=merge)
    assert table.kind.tolist() == ["compact"]


def test_kind_turns_where_the_flux_exceeds_a_point_sources():
    peak, snr = np.full(3, 1.0), np.full(3, 10.0)
    point = 1.0 - 2.6 / 10.0
    kinds = island_kind(np.array([point, point + 0.39, point + 0.41]), peak, snr, merge=2.6, excess=0.4)
    assert kinds.tolist() == ["compact", "compact", "extended"]


def test_the_margin_holds_the_wings_of_a_point_source():
    pixels = 30 * gaussian((64, 64), 31.0, 31.0, round_covariance(BEAM_PIXELS))
    radio_map, noise = make_map(pixels), flat_noise((64, 64), 1.0)
    bare, wide = (measured(radio_map, noise, margin=margin)[2].total_flux[0] for margin in (0.0, 0.5 * BEAM_PIXELS))
    assert bare == pytest.approx(30 * (1 - 2.6 / 30), rel=0.02)
    assert wide == pytest.approx(30, rel=0.01)


def test_flags_of_edges_blanks_and_the_rest():
    pixels = np.zeros((100, 100))
    for x, y in ((0, 50), (99, 20), (40, 0), (60, 99), (50, 50), (20, 20)):
        pixels += 20 * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
    pixels[50, 52] = np.nan
    _, _, table = measured(make_map(pixels), flat_noise((100, 100), 1.0))
    flags = {
        (round(float(x), -1), round(float(y), -1)): SourceFlag(int(flag))
        for x, y, flag in zip(table.peak_x, table.peak_y, table.flags, strict=True)
    }
    edge = SourceFlag.EDGE
    assert flags == {(0, 50): edge, (100, 20): edge, (40, 0): edge, (60, 100): edge,
                     (50, 50): SourceFlag.BLANKED, (20, 20): SourceFlag(0)}  # fmt: skip


def test_positions_off_the_sky_are_flagged():
    wcs_map, _ = make_sky(3, shape=(64, 64), n_sources=1)
    wcs_map.sky.wcs.wcs.crpix = [5000.0, 5000.0]
    wcs_map.sky.wcs.wcs.cdelt = [-0.1, 0.1]
    shifted = make_map(20 * gaussian((64, 64), 32, 32, round_covariance(BEAM_PIXELS)), wcs=wcs_map.sky.wcs)
    _, _, table = measured(shifted, flat_noise((64, 64), 1.0))
    assert np.isnan(table.ra[0]) and table.flags[0] & SourceFlag.OFF_SKY


def test_grown_sums_follow_faint_wings_and_stop_in_the_sky():
    shape = (240, 240)
    wide = round_covariance(40.0)
    truth = 12.0 * gaussian(shape, 120, 120, wide)
    pixels = truth + correlated_noise(shape, np.random.default_rng(4))
    radio_map, noise = make_map(pixels), flat_noise(shape, 1.0)
    runs = islands_above(scan_map(radio_map, noise, merge=2.6).positive, seed=6.0, min_pixels=200)
    bare = gather(radio_map, noise, runs, margin=0.0)
    grown = gather(radio_map, noise, runs, margin=3 * BEAM_PIXELS)
    sums, counts = grown_sums(grown, beam_area=radio_map.beam_area, ring=0.5 * BEAM_PIXELS)
    assert len(sums) == 1
    assert bare.pixels.flux.sum() < 0.85 * truth.sum() < 0.93 * truth.sum() < sums[0] < 1.06 * truth.sum()
    assert bare.pixels.counts[0] < counts[0] <= grown.pixels.counts[0]


def test_grown_sums_of_a_sharp_disk_add_nothing():
    rows, cols = np.indices((120, 120))
    pixels = 10.0 * (np.hypot(rows - 60, cols - 60) < 20)
    radio_map, noise = make_map(pixels), flat_noise((120, 120), 1.0)
    runs = scan_map(radio_map, noise, merge=2.6).positive
    sums, counts = grown_sums(gather(radio_map, noise, runs, margin=15.0), beam_area=28.0, ring=2.5)
    assert sums[0] == pytest.approx(pixels.sum()) and counts[0] == np.count_nonzero(pixels)


def test_total_flux_of_a_large_extended_source_holds_its_wings():
    shape = (320, 320)
    truth = 1.5e-3 * gaussian(shape, 150.5, 160.2, round_covariance(45.0))
    pixels = truth + 1e-4 * correlated_noise(shape, np.random.default_rng(5))
    extraction = SourceFinder(FinderConfig(search_nested=False))(make_map(pixels))
    table = extraction.islands.table
    row = int(np.argmax(table.n_pixels))
    flux = truth.sum() / extraction.radio_map.beam_area
    assert table.total_flux[row] == pytest.approx(flux, rel=0.07)  # three beam widths hold 97 per cent of it
    assert table.kind[row] == "extended"
