import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neanias_ml.extraction.islands.search import islands_above, label_islands, scan_map
from neanias_ml.extraction.noise.model import MeshNoise
from neanias_ml.maps import Window
from tests.conftest import correlated_noise, make_map


def flood_brute_force(significance, seed, merge, min_pixels, connectivity):
    """Pixel-by-pixel flood, independent of the labelling library."""
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    if connectivity == 8:
        steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    labels = np.zeros(significance.shape, dtype=np.int32)
    islands = []
    visited = np.zeros(significance.shape, dtype=bool)
    for start in zip(*np.nonzero(significance >= merge), strict=True):
        if visited[start]:
            continue
        stack, members = [start], []
        visited[start] = True
        while stack:
            row, col = stack.pop()
            members.append((row, col))
            for dr, dc in steps:
                beside = (row + dr, col + dc)
                inside = 0 <= beside[0] < labels.shape[0] and 0 <= beside[1] < labels.shape[1]
                if inside and not visited[beside] and significance[beside] >= merge:
                    visited[beside] = True
                    stack.append(beside)
        if len(members) >= min_pixels and max(significance[member] for member in members) >= seed:
            islands.append(sorted(members))
    for number, members in enumerate(sorted(islands), start=1):
        labels[tuple(np.array(members).T)] = number
    return labels


@given(
    significance=hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.floats(-1, 8, width=32)
    ),
    connectivity=st.sampled_from([4, 8]),
    min_pixels=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_equals_a_brute_force_flood(significance, connectivity, min_pixels):
    labels = label_islands(significance, seed=5.0, merge=2.6, min_pixels=min_pixels, connectivity=connectivity)
    # thresholds are compared in the maps' own precision
    seed, merge, narrow = np.float32(5.0), np.float32(2.6), significance.astype(np.float32)
    np.testing.assert_array_equal(labels, flood_brute_force(narrow, seed, merge, min_pixels, connectivity))


def test_blank_pixels_belong_to_no_island_and_cut_islands():
    significance = np.full((3, 7), 6.0)
    significance[:, 3] = np.nan
    labels = label_islands(significance, seed=5, merge=2.6, min_pixels=1)
    assert labels.max() == 2 and (labels[:, 3] == 0).all()


@pytest.mark.parametrize("connectivity, count", [(4, 2), (8, 1)])
def test_diagonal_touch(connectivity, count):
    significance = np.diag([6.0, 6.0])
    assert label_islands(significance, seed=5, merge=2.6, min_pixels=1, connectivity=connectivity).max() == count


def test_empty_map_has_no_islands():
    assert label_islands(np.zeros((5, 5)), seed=5, merge=2.6, min_pixels=1).max() == 0


def test_numbers_follow_the_rows():
    significance = np.array([[0, 7, 0, 0], [6, 0, 0, 0], [6, 0, 0, 8.0]])
    labels = label_islands(significance, seed=5, merge=2.6, min_pixels=1, connectivity=4)
    np.testing.assert_array_equal(labels, [[0, 1, 0, 0], [2, 0, 0, 0], [2, 0, 0, 3]])


@pytest.mark.parametrize("rows, workers", [(1, 1), (7, 3), (64, 2), (None, 2)])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_bands_and_threads_change_no_region(rows, workers, connectivity):
    rng = np.random.default_rng(1)
    pixels = 1e-3 * correlated_noise((150, 130), rng) + 2e-3
    pixels[40:55, 20:90] = np.nan
    radio_map = make_map(pixels)
    noise = MeshNoise(rng.uniform(1.8e-3, 2.2e-3, (3, 3)), rng.uniform(0.8e-3, 1.2e-3, (3, 3)), 50, (150, 130))
    found = scan_map(radio_map, noise, merge=1.0, connectivity=connectivity, rows=rows, workers=workers)
    background, rms = noise.evaluate()
    for regions, sign in ((found.positive, 1.0), (found.negative, -1.0)):
        significance = sign * (radio_map.data - background) / rms
        runs = islands_above(regions, seed=2.5, min_pixels=3)
        expected = label_islands(significance, seed=2.5, merge=1.0, min_pixels=3, connectivity=connectivity)
        assert runs.count > 5
        np.testing.assert_array_equal(runs.paint(Window(0, 150, 0, 130)), expected)


def test_the_inverted_map_swaps_the_signs():
    rng = np.random.default_rng(2)
    pixels = correlated_noise((90, 90), rng)
    noise = MeshNoise(np.zeros((1, 1)), np.ones((1, 1)), 90, (90, 90))
    one, other = (scan_map(make_map(sign * pixels), noise, merge=2.0) for sign in (1, -1))
    for left, right in ((one.positive, other.negative), (one.negative, other.positive)):
        np.testing.assert_array_equal(left.runs, right.runs)
        np.testing.assert_array_equal(left.peak, right.peak)
