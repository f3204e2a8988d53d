"""What the searches find, what they leave alone, and that blocks and workers change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.errors import UsageError
from neanias_ml.extraction.extended import METHODS, ExtendedConfig
from neanias_ml.extraction.extended.search import find_extended
from neanias_ml.extraction.islands.search import label_islands
from tests.extraction.extended.scenes import (
    compact_residuals,
    correlated_noise,
    shape_profile,
    sidelobes,
    with_shapes,
)

BEAM = 5.0


def search(image, *, workers=1, **settings):
    return find_extended(
        lambda window: image[window.slices],
        shape=image.shape,
        beam_fwhm=BEAM,
        config=ExtendedConfig(**settings),
        workers=workers,
    )


def same_regions(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("offsets", "y", "x", "evidence", "score")
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_an_obvious_disk(method):
    rng = np.random.default_rng(2)
    disk = shape_profile(rng, "disk", size=512, beam=BEAM, centre=(220.0, 240.0), extent=80.0)
    regions = search(correlated_noise(rng, size=512, beam=BEAM) + 4 * disk, method=method)
    assert len(regions) == 1
    found = regions.labels((512, 512)) > 0
    assert found[disk > 0.5].mean() > 0.9
    assert (disk[found] > 0.02).mean() > 0.7


def test_faint_shells_are_single_regions_that_a_flood_does_not_see():
    held, pieces = [], []
    for seed in range(11, 19):
        rng = np.random.default_rng(seed)
        shell = shape_profile(rng, "shell", size=512, beam=BEAM, centre=(250.0, 260.0), extent=110.0)
        image = correlated_noise(rng, size=512, beam=BEAM) + 1.2 * shell
        footprint = shell > 1 / 3
        flood = label_islands(image, seed=5.0, merge=2.6, min_pixels=28)
        assert (flood[footprint] > 0).mean() < 0.05
        labels = search(image).labels(image.shape)
        on_shell = labels[footprint]
        held.append((on_shell > 0).mean())
        pieces.append(len(np.unique(on_shell[on_shell > 0])))
    assert np.count_nonzero(pieces) >= 7
    assert max(pieces) == 1
    assert np.median(held) > 0.6


def test_shells_need_their_rings():
    scene = with_shapes(np.random.default_rng(4), size=512, beam=BEAM, brightness=1.0, kinds=("shell",) * 4)
    found = {
        beams: (search(scene.significance, shell_max_beams=beams).labels((512, 512)) > 0)[scene.footprints > 0].mean()
        for beams in (0.0, 30.0)
    }
    assert found[30.0] > found[0.0] + 0.1


def test_noise_and_remnants_of_compact_sources_are_left_alone():
    regions = 0
    for seed in range(8):
        rng = np.random.default_rng(900 + seed)
        image = correlated_noise(rng, size=512, beam=BEAM) + compact_residuals(rng, size=512, beam=BEAM)
        regions += len(search(image))
    assert regions <= 1  # 0.2 are expected


def test_sidelobes_are_mostly_left_alone_and_emission_beside_them_found():
    rng = np.random.default_rng(8)
    lobes = sidelobes(rng, size=512, beam=BEAM, peak=6.0)
    noise = correlated_noise(rng, size=512, beam=BEAM)
    found = search(noise + lobes).labels((512, 512)) > 0
    flooded = label_islands(noise + lobes, seed=5.0, merge=2.6, min_pixels=28) > 0
    assert found.mean() < 0.01
    assert found.sum() < flooded.sum()
    as_emission = search(noise + np.abs(lobes)).labels((512, 512)) > 0
    assert as_emission.sum() > 3 * found.sum() + 1000


def test_workers_change_nothing_and_block_edges_cut_nothing():
    rng = np.random.default_rng(6)
    disk = shape_profile(rng, "disk", size=600, beam=BEAM, centre=(256.0, 256.0), extent=120.0)[:555, :571]
    image = correlated_noise(rng, size=600, beam=BEAM)[:555, :571] + 2.5 * disk
    cut = search(image, block=256)
    assert same_regions(cut, search(image, block=256, workers=3))
    whole = search(image)
    assert len(cut) == len(whole) == 1
    one, other = cut.labels(image.shape) > 0, whole.labels(image.shape) > 0
    assert (one & other).sum() / (one | other).sum() > 0.95


def test_windows_read_stay_on_the_map_and_within_a_block_and_its_halo():
    image = correlated_noise(np.random.default_rng(0), size=700, beam=BEAM)
    seen = []

    def read(window):
        seen.append(window)
        return image[window.slices]

    steps = []
    find_extended(
        read, shape=(700, 700), beam_fwhm=BEAM, config=ExtendedConfig(block=256), progress=lambda *at: steps.append(at)
    )
    assert len(seen) == 9 and steps == [(number, 9) for number in range(1, 10)]
    assert max(max(window.shape) for window in seen) <= 256 + 2 * 150
    assert all(window.y0 >= 0 and window.y1 <= 700 and window.x0 >= 0 and window.x1 <= 700 for window in seen)


def test_regions_are_connected_sorted_and_without_blank_pixels():
    scene = with_shapes(np.random.default_rng(3), size=401, beam=BEAM, brightness=3.0, kinds=("disk", "shell") * 2)
    image = scene.significance.copy()
    image[np.random.default_rng(1).uniform(size=image.shape) < 0.1] = np.nan
    image[:, 390:] = np.nan
    regions = search(image)
    assert len(regions) == 4
    assert np.isfinite(image[regions.y, regions.x]).all()
    assert (regions.evidence >= 0.04999).all() and (regions.evidence <= 1).all()
    firsts = [int(y[0]) * 401 + int(x[0]) for y, x in regions]
    assert firsts == sorted(firsts)
    for y, x in regions:
        place = y.astype(int) * 401 + x
        assert (np.diff(place) > 0).all()
        mask = np.zeros(image.shape, dtype=bool)
        mask[y, x] = True
        closed = ndimage.binary_dilation(mask, np.ones((3, 3)))  # blank pixels may part a region's own
        assert ndimage.label(closed)[1] == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 90), (64, 33)])
def test_small_and_blank_maps(method, shape):
    blank = search(np.full(shape, np.nan, dtype=np.float32), method=method)
    assert len(blank) == 0 and blank.y.size == 0
    noise = correlated_noise(np.random.default_rng(1), size=100, beam=BEAM)[: shape[0], : shape[1]].copy()
    noise[0, 0] = np.nan
    assert len(search(noise, method=method)) <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "wavelet"},
        {"seed_evidence": 1.0},
        {"merge_evidence": 0.95},
        {"min_scale": 5, "max_scale": 5},
        {"block": 10},
        {"clip_sigma": float("nan")},
        {"shell_max_beams": 3.0},
        {"superpixel_beams": ()},
        {"edge_weight": 1.5},
        {"contour_steps": 0},
        {"background_error": -0.1},
    ],
)
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(UsageError):
        ExtendedConfig(**settings)


@pytest.mark.parametrize("call", [{"beam_fwhm": 0.0}, {"beam_fwhm": 5.0, "workers": 0}])
def test_calls_without_sense_are_refused(call):
    with pytest.raises(UsageError):
        find_extended(lambda window: np.zeros(window.shape, np.float32), shape=(64, 64), **call)
