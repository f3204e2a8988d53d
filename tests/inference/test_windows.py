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


def test_no_islands_no_windows(extraction):
    table = extraction.islands.table.select(slice(0, 0))
    assert plan_windows(table, ResampledGrid.of(extraction.radio_map), window_size=160) == []
