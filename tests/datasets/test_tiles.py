"""Tiles: boxes, cutting, ignored instances."""

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.datasets.channels import channels_from_significance
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, keep_instances, label_boxes, label_peaks

SIZE = 64


def random_tile(seed, *, size=SIZE, n=5):
    """A tile of rectangles: every instance is one island, one island is ignored, one reaches beyond the edge."""
    rng = np.random.default_rng(seed)
    instances, islands = np.zeros((size, size), np.int16), np.zeros((size, size), np.int16)
    for number in range(1, n + 1):
        y, x = 10 * number, int(rng.integers(5, size - 16))
        islands[y : y + 5, x : x + int(rng.integers(4, 12))] = number
    instances[:] = islands
    instances[islands == n] = IGNORED
    snr = rng.normal(size=(size, size)).astype(np.float32) + 8 * (islands > 0)
    boxes = label_boxes(islands, n)
    boxes[0, 0] -= 30
    return PreparedTile(
        channels=channels_from_significance(snr, islands > 0, beam_fwhm_pixels=6.0).astype(np.float16),
        instances=instances,
        labels=rng.integers(1, 6, size=n - 1),
        islands=islands,
        island_boxes=boxes,
        island_fluxes=rng.random(n).astype(np.float32),
        island_instance=np.array([*range(1, n), IGNORED]),
        field=f"field-{seed}",
    )


def test_boxes_of_labels_hold_exactly_their_pixels():
    tile = random_tile(0)
    for number, (x0, y0, x1, y1) in enumerate(tile.true_boxes.astype(int), start=1):
        inside = np.zeros((SIZE, SIZE), bool)
        inside[y0:y1, x0:x1] = True
        assert (tile.instances == number).sum() > 0
        assert not (tile.instances == number)[~inside].any()
    np.testing.assert_array_equal(label_boxes(tile.instances, 7)[5:], 0)


def test_cut_instances_are_ignored_below_half_and_kept_from_half():
    whole = np.zeros((20, 40), np.int32)
    whole[2:6, 16:26] = 1  # 4 of 10 columns inside the cut
    whole[8:12, 15:25] = 2  # 5 of 10 columns
    whole[14:18, 30:35] = 3  # outside
    whole[0, 0] = IGNORED
    sizes = np.bincount(np.maximum(whole, 0).ravel())[1:]
    kept = keep_instances(whole[:20, :20], sizes)
    assert kept.rows.tolist() == [1]
    assert kept.lookup.tolist() == [0, IGNORED, 1, IGNORED]
    assert (kept.instances[2:6, 16:20] == IGNORED).all() and kept.instances[0, 0] == IGNORED
    assert (kept.instances == 1).sum() == 20


def test_tile_refuses_maps_that_do_not_fit():
    tile = random_tile(0)
    with pytest.raises(ValueError, match="do not fit"):
        tile.replace(islands=np.zeros((3, 3), np.int16))
    with pytest.raises(ValueError, match="as many boxes"):
        tile.replace(island_fluxes=np.zeros(2, np.float32))


def test_significance_comes_back_from_the_channels():
    tile = random_tile(1)
    rng = np.random.default_rng(1)
    snr = (rng.normal(size=(SIZE, SIZE)) * 10 ** rng.uniform(0, 3, (SIZE, SIZE))).astype(np.float32)
    snr[:5] = np.nan
    channels = channels_from_significance(snr, np.zeros((SIZE, SIZE), bool), beam_fwhm_pixels=6.0)
    stored = tile.replace(channels=channels.astype(np.float16))
    np.testing.assert_allclose(stored.significance, snr, rtol=5e-3, atol=0.01)
    np.testing.assert_array_equal(stored.valid, np.isfinite(snr))
    assert not stored.smoothed_significance[:5].any()


def test_peaks_of_labels_are_those_of_scipy():
    tile = random_tile(2)
    values = np.random.default_rng(2).normal(size=(SIZE, SIZE)).astype(np.float32)
    numbers = np.arange(1, len(tile.labels) + 1)
    peaks, places = label_peaks(tile.instances, values, len(tile.labels) + 1)
    np.testing.assert_array_equal(peaks[:-1], ndimage.maximum(values, tile.instances, numbers))
    np.testing.assert_array_equal(places[:-1], ndimage.maximum_position(values, tile.instances, numbers))
    assert peaks[-1] == -np.inf
