import numpy as np
import pytest

from neanias_ml.extraction import SourceFinder
from neanias_ml.inference.association import IslandGroup
from neanias_ml.inference.measure_objects import extent_on_sky, hull_vertices, measure_objects
from tests.conftest import BEAM_PIXELS, PIXEL_ARCSEC, correlated_noise, gaussian, make_map, round_covariance


@pytest.fixture(scope="module")
def double():
    """Two lobes 40 pixels apart along a position angle of 45 degrees, and a point source."""
    pixels = 1e-4 * correlated_noise((160, 160), np.random.default_rng(31))
    step = 20 / np.sqrt(2)
    for x, y, peak in ((60 + step, 80 - step, 0.01), (60 - step, 80 + step, 0.006), (130.0, 30.0, 0.02)):
        pixels += peak * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
    return SourceFinder()(make_map(pixels))


def objects_of(extraction, groups):
    count = len(groups)
    return measure_objects(
        extraction,
        groups,
        class_names=["compact"] * count,
        probabilities=np.full((count, 5), 0.2),
        association_probability=np.full(count, np.nan),
    )


def test_union_of_two_islands(double):
    table = double.islands.table
    by_flux = np.argsort(-table.total_flux)
    lobes = tuple(sorted(int(table.island_id[row]) for row in by_flux if table.x[row] < 100))
    assert len(lobes) == 2
    point = int(table.island_id[by_flux[0]])
    groups = sorted([IslandGroup(lobes, 0), IslandGroup((point,), None)], key=lambda group: group.island_ids[0])
    objects = objects_of(double, groups)
    row = int(np.flatnonzero(objects.n_islands == 2)[0])
    rows = np.array(lobes) - 1
    assert objects.object_id[row] == lobes[0]
    assert objects.island_ids[row] == ",".join(map(str, lobes))
    assert objects.total_flux[row] == pytest.approx(table.total_flux[rows].sum())
    assert objects.peak_flux[row] == table.peak_flux[rows].max()
    assert objects.x0[row] == table.x0[rows].min() and objects.y1[row] == table.y1[rows].max()
    assert objects.largest_angular_size[row] > 40 * PIXEL_ARCSEC
    assert objects.position_angle[row] == pytest.approx(45, abs=6)
    weight = table.total_flux[rows]
    assert objects.x[row] == pytest.approx(np.average(table.x[rows], weights=weight))


def test_extent_of_known_points(double):
    points = np.array([[50.0, 50.0], [50.0, 80.0], [55.0, 60.0]])
    size, angle = extent_on_sky(double.radio_map, points)
    assert size == pytest.approx(30 * PIXEL_ARCSEC, rel=1e-3)
    assert min(angle, 180 - angle) < 0.2


def test_extent_of_one_pixel_is_a_pixel(double):
    size, _ = extent_on_sky(double.radio_map, np.array([[5.0, 5.0]]))
    assert size == pytest.approx(PIXEL_ARCSEC, rel=1e-3)


def test_hull_of_a_line_is_the_line():
    line = np.stack([np.arange(6), np.arange(6)], axis=1)
    np.testing.assert_array_equal(hull_vertices(line), line)


def test_no_objects():
    pixels = correlated_noise((64, 64), np.random.default_rng(32))
    extraction = SourceFinder()(make_map(np.minimum(pixels, 3.0)))
    assert len(objects_of(extraction, [])) == 0
