"""The whole variation of a tile: consistent whatever is drawn, decided by the generator alone, none at strength 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.datasets.variation.augmentation import AugmentConfig, TileAugmentation
from neanias_ml.datasets.variation.dihedral import transform_tile
from neanias_ml.errors import UsageError
from tests.datasets.tile_makers import (
    CLASS_LABELS,
    RULE,
    SPURIOUS,
    artefact_tile,
    assert_consistent,
    assert_same,
    sky_tile,
)

EVERYTHING = {"paste_objects": 0.7, "paste_artefacts": 0.7, "fade": 0.7, "noise_jitter": 0.1}


def augmentation(**settings):
    return TileAugmentation(AugmentConfig(**settings), islands=RULE, class_labels=CLASS_LABELS)


def partner(rng, classes):
    return artefact_tile(size=96, at=(48, 48)) if SPURIOUS in classes else sky_tile(int(rng.integers(100)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), blank=st.booleans(), rotate=st.booleans())
def test_everything_together_stays_consistent(seed, blank, rotate):
    if rotate:
        pytest.importorskip("albumentations", reason="rotation is done by albumentations")
    vary = augmentation(**EVERYTHING, rotate=float(rotate))
    tile = sky_tile(seed, blank=blank)
    results = [vary(tile, np.random.default_rng(seed), partners=partner) for _ in range(2)]
    assert_consistent(results[0])
    assert_same(*results)
    assert results[0].size == tile.size and results[0].field == tile.field


def test_no_strength_is_the_identity():
    tile = sky_tile(0)
    assert augmentation(symmetries=False)(tile, np.random.default_rng(0), partners=partner) is tile


def test_symmetries_alone_give_the_eight_and_nothing_else():
    tile, vary = sky_tile(1), augmentation()
    rng = np.random.default_rng(0)
    seen = {vary(tile, rng).channels.tobytes() for _ in range(80)}
    assert seen == {transform_tile(tile, symmetry).channels.tobytes() for symmetry in range(8)}


def test_probabilities_are_kept():
    vary = augmentation(symmetries=False, fade=0.3)
    tile = sky_tile(2)
    rng = np.random.default_rng(0)
    assert 0.2 < np.mean([vary(tile, rng) is not tile for _ in range(200)]) < 0.4


def test_without_partners_nothing_is_pasted():
    tile = sky_tile(3)
    vary = augmentation(symmetries=False, paste_objects=1.0, paste_artefacts=1.0)
    assert vary(tile, np.random.default_rng(0)) is tile
    assert vary(tile, np.random.default_rng(0), partners=lambda rng, classes: None) is tile
    large = sky_tile(3, size=160, sources=2)
    source = artefact_tile(size=160, at=(80, 80))
    varied = [vary(large, np.random.default_rng(seed), partners=lambda rng, classes: source) for seed in range(10)]
    assert any(SPURIOUS in one.labels for one in varied)


def test_ignored_pixels_stay_ignored_without_rotation():
    tile = sky_tile(4)
    vary = augmentation(symmetries=False, **EVERYTHING)
    for seed in range(10):
        varied = vary(tile, np.random.default_rng(seed), partners=partner)
        assert (varied.instances[tile.instances == IGNORED] == IGNORED).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("fade", 1.5), ("paste_objects", -0.1), ("noise_jitter", 1.0), ("most_added_noise", float("inf")), ("rotate", 2)],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=name) as caught:
        AugmentConfig(**{name: value})
    assert caught.value.code == "AugmentConfig"
