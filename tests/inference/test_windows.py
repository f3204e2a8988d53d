from types import SimpleNamespace

import numpy as np
import pytest

from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.extraction import SourceFinder
from neanias_ml.inference.windows import HALO_FRACTION, plan_windows
from tests.conftest import make_sky


@pytest.fixture(scope="module")
def extraction():
    radio_map, _ = make_sky(21, shape=(300, 420), n_sources=40)
    return SourceFinder()(radio_map)


def test_every_island_is_owned_once_and_seen_by_its_window(extraction):
    grid = ResampledGrid.of(extraction.radio_map)
    windows = plan_windows(extraction.islands.table, grid, window_size=160)
    owned = np.concatenate([planned.owned for planned in windows])
    assert sorted(owned) == list(range(len(extraction.islands)))
    for planned in windows:
        assert set(planned.owned) <= set(planned.visible)
        assert planned.window.shape == (160, 160)


def test_windows_lie_on_a_lattice_that_the_content_does_not_move(extraction):
    grid = ResampledGrid.of(extraction.radio_map)
    halo = round(160 * HALO_FRACTION)
    table = extraction.islands.table
    for chosen in (table, table.select(table.x > 200)):
        for planned in plan_windows(chosen, grid, window_size=160):
            assert (planned.window.y0 + halo) % (160 - 2 * halo) == 0
            assert (planned.window.x0 + halo) % (160 - 2 * halo) == 0


def test_fifty_thousand_islands_are_planned_as_one_by_one(extraction):
    """Each window holds what overlaps it and no more, and what windows hold in all grows as the islands do."""
    rng, number, side = np.random.default_rng(3), 50_000, 14_000
    x, y, half = rng.uniform(0, side, number), rng.uniform(0, side, number), rng.uniform(2, 6, number)
    table = SimpleNamespace(peak_x=x, peak_y=y, x0=x - half, x1=x + half, y0=y - half, y1=y + half)
    table.x0[0], table.x1[0] = 0, side  # one across the whole map
    grid = ResampledGrid.of(extraction.radio_map)
    windows = plan_windows(table, grid, window_size=512)
    np.testing.assert_array_equal(np.sort(np.concatenate([one.owned for one in windows])), np.arange(number))
    assert sum(len(one.visible) for one in windows) < 4 * number
    boxes = grid.boxes_to_grid(np.stack([table.x0, table.y0, table.x1, table.y1], axis=1))
    for one in windows[:: len(windows) // 20]:
        low, high = [one.window.x0, one.window.y0], [one.window.x1, one.window.y1]
        overlaps = (boxes[:, :2] < high).all(axis=1) & (boxes[:, 2:] > low).all(axis=1)
        np.testing.assert_array_equal(one.visible, np.flatnonzero(overlaps))


def test_no_islands_no_windows(extraction):
    table = extraction.islands.table.select(slice(0, 0))
    assert plan_windows(table, ResampledGrid.of(extraction.radio_map), window_size=160) == []
