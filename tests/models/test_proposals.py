from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from neanias_ml.models.proposals import island_proposals

BEAM = 6.0


def random_islands(n, *, seed=0, side=512.0):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(20, side - 20, (n, 2))
    half = rng.uniform(3, 7, (n, 2))
    return np.concatenate([centre - half, centre + half], axis=1)


def contains(rows, box):
    return bool((np.abs(rows - box).max(axis=1) < 1e-3).any())


def test_own_boxes_come_first_in_input_order():
    boxes = random_islands(30)
    found = island_proposals(boxes, pixels_per_beam=BEAM, padding_beams=0.25)
    np.testing.assert_allclose(found.boxes[:30], boxes + np.array([-1.5, -1.5, 1.5, 1.5]), atol=1e-4)
    assert found.island_index[:30].tolist() == list(range(30))
    assert (found.island_index[30:] == -1).all()
    assert found.boxes.dtype == np.float32
    assert found.n_islands == 30


def test_own_boxes_are_at_least_a_beam_wide():
    found = island_proposals(np.array([[10.0, 10.0, 11.0, 12.0]]), pixels_per_beam=BEAM, padding_beams=0.0)
    np.testing.assert_allclose(found.boxes[0], [7.5, 8.0, 13.5, 14.0])


def test_scaled_boxes():
    boxes = np.array([[100.0, 100.0, 120.0, 140.0]])
    found = island_proposals(boxes, pixels_per_beam=BEAM, scales=(1.0, 1.5), padding_beams=0.0)
    np.testing.assert_allclose(found.boxes, [[100, 100, 120, 140], [95, 90, 125, 150]])


def test_set_does_not_depend_on_the_order_of_islands():
    boxes = random_islands(120, seed=3)
    boxes[:100] = np.round(boxes[:100])  # ties in distance, too
    fluxes = np.random.default_rng(4).uniform(1, 9, 120)
    order = np.random.default_rng(5).permutation(120)
    one = island_proposals(boxes, pixels_per_beam=BEAM, fluxes=fluxes)
    two = island_proposals(boxes[order], pixels_per_beam=BEAM, fluxes=fluxes[order])
    np.testing.assert_array_equal(one.boxes[order], two.boxes[:120])
    np.testing.assert_array_equal(one.boxes[120:], two.boxes[120:])


def test_pair_and_triple_are_united():
    lobe, core, other = [100.0, 100.0, 112.0, 112.0], [124.0, 102.0, 132.0, 110.0], [144.0, 100.0, 156.0, 112.0]
    found = island_proposals(np.array([lobe, core, other]), pixels_per_beam=BEAM, padding_beams=0.0, scales=())
    assert len(found) == 6
    assert contains(found.boxes, np.array([100.0, 100.0, 156.0, 112.0]))
    assert contains(found.boxes, np.array([100.0, 100.0, 132.0, 112.0]))
    assert contains(found.boxes, np.array([124.0, 100.0, 156.0, 112.0]))


def test_true_doubles_rank_before_chance_pairs():
    """Twelve doubles among sixty unrelated sources: nearly all are within the 64 unions."""
    rng = np.random.default_rng(11)
    background = random_islands(60, seed=12, side=1024.0)
    centres = rng.uniform(80, 940, (12, 2))
    angle = rng.uniform(0, np.pi, 12)
    offset = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(14, 22, (12, 1))
    half = rng.uniform(5, 8, (12, 1))
    first = np.concatenate([centres - offset - half, centres - offset + half], axis=1)
    second = np.concatenate([centres + offset - half, centres + offset + half], axis=1)
    flux = rng.uniform(5, 50, 12)
    boxes = np.concatenate([background, first, second])
    fluxes = np.concatenate([rng.uniform(1, 50, 60), flux, flux * rng.uniform(0.7, 1.4, 12)])
    found = island_proposals(boxes, pixels_per_beam=BEAM, padding_beams=0.0, fluxes=fluxes)
    unions = np.concatenate([np.minimum(first, second)[:, :2], np.maximum(first, second)[:, 2:]], axis=1)
    ranked = found.boxes[2 * len(boxes) :]
    assert sum(contains(ranked[:64], union) for union in unions) >= 11
    assert len(ranked) == 2 * len(boxes)


def test_no_union_beyond_the_reach():
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [400.0, 400.0, 410.0, 410.0]])
    assert len(island_proposals(boxes, pixels_per_beam=BEAM, scales=())) == 2
    assert len(island_proposals(boxes, pixels_per_beam=BEAM, scales=(), reach_beams=100.0)) == 3


def test_unions_are_limited_by_area_and_not_fewer_for_each_island_where_they_are_crowded():
    sparse, crowded = random_islands(30, seed=2), random_islands(1000, seed=2)
    options = {"pixels_per_beam": BEAM, "shape": (512, 512), "scales": ()}
    everything = island_proposals(sparse, **options, unions_per_tile=10_000)
    assert everything.n_unions_left_out == 0
    for per_tile, limit in ((5, 60), (20, 80), (0, 0)):  # two for each island; by area
        found = island_proposals(sparse, **options, unions_per_tile=per_tile)
        assert len(found) == 30 + limit
        np.testing.assert_array_equal(found.boxes, everything.boxes[: 30 + limit])
        assert found.n_unions_left_out == (len(everything) - 30 - limit if limit else 0)
    found = island_proposals(crowded, **options)
    assert len(found) == 1000 + 2000 and found.n_unions_left_out > 1000


def test_fifty_thousand_islands_take_memory_in_proportion():
    """Ten times the islands of a window take ten times the memory; a table of all pairs would take a hundred times."""
    peaks = []
    for number in (5_000, 50_000):
        boxes = random_islands(number, side=100.0 * number**0.5)
        tracemalloc.start()
        found = island_proposals(boxes, pixels_per_beam=BEAM, shape=(512, 512))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found) == 4 * number
    assert peaks[1] < 15 * peaks[0] and peaks[1] < 1.5e9


def test_a_box_inside_another_makes_no_union():
    boxes = np.array([[0.0, 0.0, 60.0, 60.0], [20.0, 20.0, 30.0, 30.0]])
    assert len(island_proposals(boxes, pixels_per_beam=BEAM, scales=())) == 2


def test_coincident_islands_do_no_harm():
    boxes = np.tile([[10.0, 10.0, 20.0, 20.0]], (15, 1))
    found = island_proposals(boxes, pixels_per_beam=BEAM)
    assert len(found) == 30
    assert np.isfinite(found.boxes).all()


def test_nothing_in_nothing_out():
    found = island_proposals(np.zeros((0, 4)), pixels_per_beam=BEAM)
    assert found.boxes.shape == (0, 4)
    assert len(found.island_index) == 0


def test_clipping_to_the_window():
    found = island_proposals(np.array([[0.0, 500.0, 8.0, 512.0]]), pixels_per_beam=BEAM, shape=(512, 512))
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 512


@pytest.mark.parametrize(
    ("boxes", "keywords", "message"),
    [
        ([[0, 0, 1]], {}, "shape"),
        ([[0, 0, np.nan, 1]], {}, "finite"),
        ([[5, 0, 1, 1]], {}, "upper corner"),
        ([[0, 0, 1, 1]], {"fluxes": [1.0, 2.0]}, "fluxes"),
        ([[0, 0, 1, 1]], {"pixels_per_beam": 0.0}, "positive"),
    ],
)
def test_bad_input(boxes, keywords, message):
    with pytest.raises(ValueError, match=message):
        island_proposals(np.array(boxes, dtype=float), **({"pixels_per_beam": BEAM} | keywords))
