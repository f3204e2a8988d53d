"""What islands hold: fluxes add up over components, children and mothers."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neanias_ml.extraction import FinderConfig, SourceFinder, SourceFlag
from neanias_ml.extraction.components.fit_config import FitConfig
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, make_sky, round_covariance

SHAPE = (256, 256)
DISK = (120.0, 130.0, 30.0)
BRIGHTNESS = 2e-3
POINT = (128.3, 121.6, 0.02)
NOISE = 1e-4


def disk_map(*, points=(POINT,), seed=1):
    """A flat disk of 20 sigma convolved with the beam, with points on it, in noise."""
    x, y, radius = DISK
    rows, cols = np.indices(SHAPE)
    disk = gaussian_filter((np.hypot(rows - y, cols - x) < radius).astype(float), BEAM_PIXELS / 2.355)
    pixels = NOISE * correlated_noise(SHAPE, np.random.default_rng(seed)) + BRIGHTNESS * disk
    for px, py, peak in points:
        pixels += peak * gaussian(SHAPE, px, py, round_covariance(BEAM_PIXELS))
    radio_map = make_map(pixels)
    return radio_map, BRIGHTNESS * disk.sum() / radio_map.beam_area


@pytest.fixture(scope="module")
def disk():
    radio_map, flux = disk_map()
    return SourceFinder()(radio_map), flux


def largest(extraction):
    return int(np.argmax(extraction.islands.table.n_pixels))


def test_a_point_on_a_disk_is_a_child_row(disk):
    extraction, flux = disk
    mother = extraction.islands.table.select([largest(extraction)])
    assert mother.kind[0] == "extended"
    assert mother.total_flux[0] == pytest.approx(flux + POINT[2], rel=0.05)
    nested = extraction.nested.table
    near = np.hypot(nested.x - POINT[0], nested.y - POINT[1]) < 2
    assert np.count_nonzero(near) == 1
    child = nested.select(near)
    assert child.parent_id[0] == mother.island_id[0] and child.level[0] == 1 and child.kind[0] == "nested"
    assert child.total_flux[0] == pytest.approx(POINT[2], rel=0.1)
    assert mother.own_flux[0] == pytest.approx(flux, rel=0.05)
    labels = extraction.islands.labels
    assert (labels[extraction.nested.labels > 0] == mother.island_id[0]).all()


def test_its_component_lies_on_extended_emission_and_the_rest_is_the_disk(disk):
    extraction, flux = disk
    mother = extraction.islands.table.island_id[largest(extraction)]
    parts = extraction.components.select(extraction.components.island_id == mother)
    on_disk = (parts.flags & SourceFlag.ON_EXTENDED) > 0
    rest = (parts.flags & SourceFlag.REMAINDER) > 0
    assert np.count_nonzero(on_disk) == 1 and np.count_nonzero(rest) == 1 and len(parts) == 2
    point, remainder = parts.select(on_disk), parts.select(rest)
    assert abs(point.total_flux[0] - POINT[2]) < max(4 * point.total_flux_err[0], 0.05 * POINT[2])
    assert np.hypot(point.x[0] - POINT[0], point.y[0] - POINT[1]) < 0.3
    assert point.fit_quality[0] > 0 and point.nested_id[0] in extraction.nested.table.island_id
    assert remainder.total_flux[0] == pytest.approx(flux, rel=0.05)
    assert np.hypot(remainder.x[0] - DISK[0], remainder.y[0] - DISK[1]) < 3
    assert remainder.fit_quality[0] == 0 and remainder.nested_id[0] == 0


def crowd():
    """Points, blends, two disks with points on them, a bright point with a faint neighbour."""
    radio_map, _ = disk_map(points=(POINT, (105.0, 140.0, 0.015), (112.0, 118.0, 0.01)), seed=2)
    sky, _ = make_sky(3, shape=SHAPE, n_sources=25, snr=(10, 100))
    return make_map(radio_map.data + sky.data)


@pytest.fixture(scope="module")
def crowded():
    return SourceFinder()(crowd())


def test_own_fluxes_count_every_source_once(crowded):
    everything = crowded.all_islands
    top = everything.parent_id == 0
    assert len(crowded.nested) >= 3
    assert everything.own_flux.sum() == pytest.approx(everything.total_flux[top].sum(), rel=1e-9)
    for row in range(len(everything)):
        children = everything.parent_id == everything.island_id[row]
        expected = everything.total_flux[row] - everything.total_flux[children].sum()
        assert everything.own_flux[row] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert sorted(everything.island_id.tolist()) == list(range(1, len(everything) + 1))


def test_components_of_islands_taken_apart_add_up(crowded):
    components, table = crowded.components, crowded.islands.table
    apart = np.unique(components.island_id[(components.flags & SourceFlag.REMAINDER) > 0])
    assert len(apart) >= 1
    for island in apart:
        own = components.select(components.island_id == island)
        assert own.total_flux.sum() == pytest.approx(table.total_flux[island - 1], rel=1e-6)


def test_components_of_all_islands_add_up_within_errors(crowded):
    flux = np.bincount(crowded.components.island_id, weights=crowded.components.total_flux,
                       minlength=len(crowded.islands) + 1)[1:]  # fmt: skip
    table = crowded.islands.table
    assert (np.abs(flux - table.total_flux) < 0.12 * table.total_flux + 5 * table.total_flux_err).all()
    assert flux.sum() == pytest.approx(table.total_flux.sum(), rel=0.03)


def test_rows_count_their_components(crowded):
    components = crowded.components
    for table, ids in ((crowded.islands.table, components.island_id), (crowded.nested.table, components.nested_id)):
        np.testing.assert_array_equal(table.n_components, [np.count_nonzero(ids == one) for one in table.island_id])
    assert (crowded.islands.table.n_components >= 1).all()
    np.testing.assert_array_equal(components.component_id, np.arange(1, len(components) + 1))


def test_without_the_search_inside_islands_nothing_is_nested(disk):
    radio_map, flux = disk_map()
    extraction = SourceFinder(FinderConfig(search_nested=False))(radio_map)
    assert len(extraction.nested) == 0 and not extraction.components.nested_id.any()
    table = extraction.islands.table
    np.testing.assert_array_equal(table.own_flux, table.total_flux)
    assert table.total_flux[largest(extraction)] == pytest.approx(flux + POINT[2], rel=0.05)


def test_a_disk_without_sources_is_one_component_with_its_flux():
    radio_map, flux = disk_map(points=())
    extraction = SourceFinder()(radio_map)
    mother = largest(extraction) + 1
    parts = extraction.components.select(extraction.components.island_id == mother)
    assert parts.total_flux.sum() == pytest.approx(flux, rel=0.06)
    assert not (parts.flags & SourceFlag.ON_EXTENDED).any()


def test_islands_too_large_to_fit_are_taken_apart():
    radio_map, flux = disk_map()
    config = FinderConfig(fit=FitConfig(max_fit_beams=20.0))
    extraction = SourceFinder(config)(radio_map)
    mother = largest(extraction) + 1
    parts = extraction.components.select(extraction.components.island_id == mother)
    assert ((parts.flags & (SourceFlag.REMAINDER | SourceFlag.ON_EXTENDED)) > 0).all()
    assert parts.total_flux.sum() == pytest.approx(flux + POINT[2], rel=0.05)
