import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neanias_ml.extraction.islands import label_islands, renumber_by_first_pixel


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
    np.testing.assert_array_equal(labels, flood_brute_force(significance, 5.0, 2.6, min_pixels, connectivity))


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


def test_renumbering_follows_the_rows():
    labels = np.array([[0, 7, 0], [3, 0, 0], [3, 0, 5]], dtype=np.int32)
    np.testing.assert_array_equal(renumber_by_first_pixel(labels), [[0, 1, 0], [2, 0, 0], [2, 0, 3]])
