import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from scipy.spatial import cKDTree

from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig, SourceFinder, SourceFlag, flag_text
from neanias_ml.maps import Beam, RadioMap
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, make_sky, make_wcs, round_covariance


def matched(components, truth, *, radius=2.0):
    distance, index = cKDTree(np.stack([components.x, components.y], axis=1)).query(truth[:, :2])
    return index, distance < radius


def test_injected_points_come_back_with_position_and_flux():
    radio_map, truth = make_sky(1, n_sources=25, snr=(20, 200))
    components = SourceFinder()(radio_map).components
    index, found = matched(components, truth)
    assert found.all() and len(components) == len(truth)
    assert np.abs(components.x[index] - truth[:, 0]).max() < 0.5
    ratio = components.total_flux[index] / truth[:, 2]
    assert abs(np.median(ratio) - 1) < 0.03
    pull = (components.peak_flux[index] - truth[:, 2]) / components.peak_flux_err[index]
    assert 0.6 < pull.std() < 1.5


def test_noise_alone_gives_almost_nothing():
    rng = np.random.default_rng(2)
    assert len(SourceFinder()(make_map(correlated_noise((400, 400), rng))).islands) <= 1


def test_moments_and_flux_of_an_island():
    pixels = 1e-4 * correlated_noise((128, 128), np.random.default_rng(3))
    shape = np.array([[30.0, 10.0], [10.0, 16.0]])
    pixels += 0.05 * gaussian(pixels.shape, 60.4, 70.2, shape)
    extraction = SourceFinder()(make_map(pixels))
    row = int(np.argmax(extraction.islands.table.snr))
    island = extraction.islands.table.select([row])
    assert island.x[0] == pytest.approx(60.4, abs=0.1) and island.y[0] == pytest.approx(70.2, abs=0.1)
    expected = 0.05 * 2 * np.pi * np.sqrt(np.linalg.det(shape)) / extraction.radio_map.beam_area
    assert island.total_flux[0] == pytest.approx(expected, rel=0.02)
    assert island.kind[0] == "extended"
    angle = np.degrees(0.5 * np.arctan2(2 * 10.0, 30.0 - 16.0))
    assert island.pixel_angle[0] == pytest.approx(angle, abs=2)
    component = extraction.components.select(extraction.components.island_id == island.island_id[0])
    assert component.total_flux[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("dec", [-89.7, -30.0, 0.0, 62.0, 89.8])
@pytest.mark.parametrize("ra", [0.01, 150.0])
def test_sizes_angles_and_positions_at_any_declination(dec, ra):
    shape = (128, 128)
    wcs = make_wcs(shape, ra=ra, dec=dec)
    beam = Beam(14.0 / 3600, 10.0 / 3600, 25.0)
    flat = RadioMap.from_array(np.zeros(shape), beam=beam, wcs=wcs)
    x, y, position_angle = 88.0, 41.0, 140.0
    intrinsic = flat.covariance_to_pixels(x, y, major=20 / 3600, minor=8 / 3600, position_angle=position_angle)
    convolved = intrinsic + flat.beam_covariance
    pixels = 1e-5 * correlated_noise(shape, np.random.default_rng(4)) + 0.1 * gaussian(shape, x, y, convolved)
    component = SourceFinder()(RadioMap.from_array(pixels, beam=beam, wcs=wcs)).components
    best = int(np.argmax(component.snr))
    assert component.dc_major[best] == pytest.approx(20, rel=0.01)
    assert component.dc_minor[best] == pytest.approx(8, rel=0.02)
    assert component.dc_pa[best] == pytest.approx(position_angle, abs=1.0)
    truth = SkyCoord(*(wcs.all_pix2world(x, y, 0) * u.deg), frame="icrs")
    found = SkyCoord(component.ra[best] * u.deg, component.dec[best] * u.deg)
    assert found.separation(truth).arcsec < 0.05
    assert 0 <= component.ra[best] < 360


def test_point_sources_have_upper_limits_on_size():
    radio_map, _ = make_sky(5, n_sources=16)
    components = SourceFinder()(radio_map).components
    limited = (components.flags & SourceFlag.SIZE_UPPER_LIMIT) > 0
    assert limited.mean() > 0.8
    assert (components.dc_major[limited] < 2.5 * BEAM_PIXELS * 2).all()
    assert "size_upper_limit" in flag_text(int(components.flags[limited][0]))


def test_two_sources_in_one_island_are_two_components():
    pixels = 1e-4 * correlated_noise((96, 96), np.random.default_rng(6))
    for x, peak in ((40.0, 0.01), (48.5, 0.006)):
        pixels += peak * gaussian(pixels.shape, x, 50.0, round_covariance(BEAM_PIXELS))
    extraction = SourceFinder()(make_map(pixels))
    row = int(np.argmax(extraction.islands.table.snr))
    assert extraction.islands.table.n_components[row] == 2
    components = extraction.components.select(extraction.components.island_id == row + 1)
    np.testing.assert_allclose(np.sort(components.peak_flux), [0.006, 0.01], rtol=0.08)


def test_flags_at_edges_and_blanks():
    pixels = 1e-4 * correlated_noise((128, 128), np.random.default_rng(7))
    for x, y in ((1.0, 60.0), (64.0, 64.0), (100.0, 30.0)):
        pixels += 0.01 * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
    pixels[66:70, 62:68] = np.nan
    table = SourceFinder()(make_map(pixels)).islands.table
    flags = {
        (round(x / 10), round(y / 10)): flag_text(int(flag))
        for x, y, flag in zip(table.x, table.y, table.flags, strict=True)
    }
    assert flags[0, 6] == "edge" and flags[6, 6] == "blanked" and flags[10, 3] == ""


def test_empty_map_gives_empty_tables():
    pixels = -np.abs(correlated_noise((96, 96), np.random.default_rng(8)))
    extraction = SourceFinder(FinderConfig(seed_threshold=8.0))(make_map(pixels))
    assert len(extraction.islands) == 0 and len(extraction.components) == 0


def test_map_without_wcs_gives_pixels_only():
    radio_map, truth = make_sky(9, n_sources=9, snr=(30, 60))
    extraction = SourceFinder()(make_map(radio_map.data, wcs=None))
    assert len(extraction.components) == len(truth)
    assert np.isnan(extraction.components.ra).all()
    assert np.isfinite(extraction.components.major).all()


def test_results_scale_with_the_map():
    radio_map, _ = make_sky(10, n_sources=9)
    small, large = (SourceFinder()(make_map(radio_map.data * factor)).components for factor in (1.0, 1e12))
    assert len(small) == len(large)
    np.testing.assert_allclose(large.total_flux / 1e12, small.total_flux, rtol=1e-3)


def test_progress_tells_stages_in_order():
    calls = []
    radio_map, _ = make_sky(11, n_sources=4)
    SourceFinder()(radio_map, progress=lambda *call: calls.append(call))
    assert calls[0] == ("background and noise", 0, 1)
    stages = [name for name, done, total in calls if done == total]
    assert stages == ["background and noise", "islands", "components", "shapes and artefact evidence"]
    assert calls[-1][1] == calls[-1][2]


def test_the_search_for_extended_emission_tells_its_progress():
    calls = []
    radio_map, _ = make_sky(11, n_sources=4)
    finder = SourceFinder(FinderConfig(search_extended=True))
    finder(radio_map, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("extended emission", 1, 1)
    assert set(finder.timings) == {"background", "islands", "components", "descriptors", "extended"}
    assert min(finder.timings.values()) > 0


@pytest.mark.parametrize(
    "setting, text",
    [
        ({"seed_threshold": 2.0, "merge_threshold": 3.0}, "merge threshold"),
        ({"connectivity": 6}, "connectivity"),
        ({"seed_iterations": 0}, "seed_iterations"),
        ({"seed_step": 0.0}, "seed_step"),
        ({"extended_flux_excess": 0.0}, "extended_flux_excess"),
        ({"min_beam_fraction": -1.0}, "min_beam_fraction"),
    ],
)
def test_settings_are_checked(setting, text):
    with pytest.raises(UsageError, match=text):
        FinderConfig(**setting)


def test_upper_limits_are_positive_and_cover_the_truth():
    radio_map, _ = make_sky(12, n_sources=25, snr=(8, 40))
    components = SourceFinder()(radio_map).components
    limited = (components.flags & SourceFlag.SIZE_UPPER_LIMIT) > 0
    assert limited.any()
    assert (components.dc_major[limited] > 0).all() and (components.dc_minor[limited] > 0).all()
    assert (components.dc_minor <= components.dc_major).all()


def test_resolved_along_one_axis_only():
    """A source that is long in one direction and has no width: its minor axis is a flagged limit or tiny."""
    shape = (128, 128)
    flat = make_map(np.zeros(shape))
    line = flat.covariance_to_pixels(64, 64, major=25 / 3600, minor=1e-6, position_angle=60.0)
    narrow = []
    for seed in range(6):
        noise = 1e-3 * correlated_noise(shape, np.random.default_rng(seed))
        pixels = noise + 0.1 * gaussian(shape, 64, 64, line + flat.beam_covariance)
        components = SourceFinder()(make_map(pixels)).components
        best = int(np.argmax(components.snr))
        assert components.dc_major[best] == pytest.approx(25, rel=0.1)
        flagged = bool(components.flags[best] & SourceFlag.MINOR_UPPER_LIMIT)
        assert 0 < components.dc_minor[best] < 8
        narrow.append(flagged)
    assert sum(narrow) >= 4  # of 6; noise may make one look resolved


CELL = 34
"""Pixels of a mesh cell for the beam of 2.8 pixels that these maps have: they hold a whole number of cells."""


@pytest.fixture(scope="module")
def turnable():
    """A sky whose every pixel is used for the noise, on a whole number of cells: the mesh turns with the map.

    What is masked still hangs on thresholds, so that the noise is the same to some per cent of it, not exactly."""
    shape = (5 * CELL, 6 * CELL)
    rng = np.random.default_rng(13)
    pixels = 1e-4 * correlated_noise(shape, rng, fwhm=2.8)
    for x, y, peak in rng.uniform((8, 8, 1e-3), (shape[1] - 8, shape[0] - 8, 8e-3), (25, 3)):
        pixels += peak * gaussian(shape, x, y, round_covariance(2.8))
    pixels += 2e-3 * gaussian(shape, 120.0, 100.0, np.array([[60.0, 25.0], [25.0, 30.0]]))
    pixels[30:36, 200:210] = np.nan
    return pixels, SourceFinder()(make_map(pixels, fwhm=2.8))


TURNS = {
    "left to right": (lambda p: p[:, ::-1], lambda x, y, w, h: (w - 1 - x, y)),
    "upside down": (lambda p: p[::-1], lambda x, y, w, h: (x, h - 1 - y)),
    "half turn": (lambda p: p[::-1, ::-1], lambda x, y, w, h: (w - 1 - x, h - 1 - y)),
    "mirrored at the diagonal": (lambda p: p.T, lambda x, y, w, h: (y, x)),
    "quarter turn": (np.rot90, lambda x, y, w, h: (y, w - 1 - x)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_the_catalogue_turns_with_the_map(turnable, turn):
    pixels, before = turnable
    turned_pixels, position = TURNS[turn]
    after = SourceFinder()(make_map(np.ascontiguousarray(turned_pixels(pixels)), fwhm=2.8))
    old, new = before.islands.table, after.islands.table
    assert len(new) == len(old) > 20
    x, y = position(old.x, old.y, pixels.shape[1], pixels.shape[0])
    distance, index = cKDTree(np.stack([new.x, new.y], axis=1)).query(np.stack([x, y], axis=1))
    assert np.median(distance) < 0.01 and distance.max() < 0.06 and len(set(index.tolist())) == len(old)
    for name in ("kind", "flags", "n_components"):
        assert np.mean(getattr(new, name)[index] == getattr(old, name)) > 0.95, name
    for name in ("total_flux", "peak_flux", "own_flux"):
        ratio = getattr(new, name)[index] / getattr(old, name)
        assert np.median(np.abs(ratio - 1)) < 3e-3 and np.abs(ratio - 1).max() < 0.05, name
    gaussians, turned = before.components, after.components
    assert abs(len(gaussians) - len(turned)) <= 1  # whether a second Gaussian is worth it may hang on that noise
    x, y = position(gaussians.x, gaussians.y, pixels.shape[1], pixels.shape[0])
    distance, index = cKDTree(np.stack([turned.x, turned.y], axis=1)).query(np.stack([x, y], axis=1))
    assert np.median(distance) < 1e-3 and np.mean(distance < 0.05) > 0.9
    ratio = turned.total_flux[index] / gaussians.total_flux
    assert np.median(np.abs(ratio - 1)) < 3e-3 and np.mean(np.abs(ratio - 1) < 0.05) > 0.9


@pytest.mark.parametrize("factor", [2.0**-17, 2.0**12])
def test_powers_of_two_scale_fluxes_exactly_and_nothing_else(factor):
    radio_map, _ = make_sky(14, n_sources=16)
    one, other = (SourceFinder()(make_map(radio_map.data * np.float32(f))) for f in (1.0, factor))
    for name in ("total_flux", "total_flux_err", "peak_flux", "own_flux", "local_rms", "local_background"):
        np.testing.assert_array_equal(
            getattr(other.islands.table, name), getattr(one.islands.table, name) * factor, err_msg=name
        )
    for name in ("x", "y", "major", "minor", "pixel_angle", "snr", "n_pixels", "flags", "kind", "n_components"):
        np.testing.assert_array_equal(getattr(other.islands.table, name), getattr(one.islands.table, name))
    np.testing.assert_allclose(other.components.total_flux, one.components.total_flux * factor, rtol=1e-9)
    np.testing.assert_allclose(other.components.x, one.components.x, atol=1e-9)


@pytest.mark.parametrize("constant", [-3e-4, 5e-4, 1e-2])
def test_a_constant_changes_the_background_and_nothing_else(constant):
    radio_map, _ = make_sky(15, n_sources=16)
    one, other = (SourceFinder()(make_map(radio_map.data.astype(float) + c)) for c in (0.0, constant))
    old, new = one.islands.table, other.islands.table
    np.testing.assert_array_equal(new.n_components, old.n_components)
    np.testing.assert_allclose(new.local_background, old.local_background + constant, atol=2e-6)
    np.testing.assert_allclose(new.x, old.x, atol=0.02)
    np.testing.assert_allclose(new.total_flux, old.total_flux, rtol=0.02)
    np.testing.assert_allclose(other.components.peak_flux, one.components.peak_flux, rtol=0.01)


def test_holes_are_not_sources_and_make_none():
    pixels = 1e-4 * correlated_noise((256, 256), np.random.default_rng(16)) + 3e-3
    rows, cols = np.indices(pixels.shape)
    pixels[np.hypot(rows - 128, cols - 100) < 30] = np.nan
    pixels[::16, ::16] = np.nan
    pixels[:, 240:] = np.nan
    assert len(SourceFinder()(make_map(pixels)).islands) == 0


def test_lower_seeds_find_fainter_sources():
    radio_map, truth = make_sky(17, shape=(320, 320), n_sources=49, snr=(3.9, 9))
    found = {}
    for passes in (1, 3):
        config = FinderConfig(seed_threshold=5.5, seed_iterations=passes, seed_step=0.5, search_nested=False)
        extraction = SourceFinder(config)(radio_map)
        found[passes] = extraction.islands.table
        assert extraction.negatives.seed_threshold == pytest.approx(5.5 - 0.5 * (passes - 1))
    assert len(found[3]) > len(found[1]) + 2
    assert found[3].snr.min() < 5.5 <= found[1].snr.min()
    distance, _ = cKDTree(truth[:, :2]).query(np.stack([found[3].x, found[3].y], axis=1))
    assert (distance < 3).mean() > 0.95


def test_lowered_seeds_stay_above_the_merge_threshold():
    radio_map, _ = make_sky(18, n_sources=9)
    config = FinderConfig(seed_threshold=5.0, merge_threshold=4.2, seed_iterations=10, search_nested=False)
    assert SourceFinder(config)(radio_map).negatives.seed_threshold == 4.5
