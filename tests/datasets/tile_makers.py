"""Generated tiles of a small sky: Gaussian sources on beam-correlated noise, truth from the model, islands as found."""

from __future__ import annotations

import numpy as np

from neanias_ml.datasets.channels import channels_from_significance
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, label_boxes
from neanias_ml.datasets.variation.added_noise import beam_noise
from neanias_ml.datasets.variation.reobserve import IslandRule, TruthRule, grid_islands

SPURIOUS, COMPACT, EXTENDED, MULTI, FLAGGED = 1, 2, 3, 4, 5
CLASS_LABELS = {"spurious": 1, "compact": 2, "extended": 3, "extended-multisland": 4, "flagged": 5}
BEAM = 6.0
RULE = IslandRule(pixels_per_beam=BEAM)
TRUTH = TruthRule.of(CLASS_LABELS)
MAPS = ("channels", "instances", "islands")
TABLES = ("labels", "island_boxes", "island_fluxes", "island_instance")


def gaussian(size, y, x, *, peak, fwhm):
    """A round Gaussian on a square of ``size`` pixels."""
    rows, cols = np.mgrid[:size, :size]
    sigma = fwhm / np.sqrt(8 * np.log(2))
    return (peak * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * sigma**2))).astype(np.float32)


def tile_of(models, labels, *, noise, blank=None, ignored=(), field="f"):
    """A tile of the sum of model images: an instance's mask is where its model exceeds the threshold of islands.

    ``ignored`` names rows of the models whose pixels and islands are to teach nothing.
    """
    size = noise.shape[0]
    snr = noise + np.sum(models, axis=0, dtype=np.float32) if len(models) else noise.copy()
    if blank is not None:
        snr[blank] = np.nan
    islands = grid_islands(snr, RULE)
    count = int(islands.max(initial=0))
    instances, kept = np.zeros((size, size), np.int16), []
    number = {}
    for row, model in enumerate(models):
        mask = (model > RULE.merge) & np.isfinite(snr) & (instances == 0)
        if row in ignored or not mask.any():
            instances[mask] = IGNORED
            number[row] = IGNORED
            continue
        kept.append(labels[row])
        number[row] = len(kept)
        instances[mask] = len(kept)
    stack = np.array(models).reshape(-1, size, size)
    owner = np.full(count, IGNORED)
    for island in range(1, count + 1):
        inside = islands == island
        if len(stack) and stack[:, inside].sum() > 0.5 * snr[inside].sum():
            owner[island - 1] = number[int(stack[:, inside].sum(axis=1).argmax())]
        free = inside & (instances == 0)
        instances[free] = owner[island - 1]
    sums = np.bincount(islands.ravel(), np.nan_to_num(snr).ravel(), count + 1)[1:]
    return PreparedTile(
        channels=channels_from_significance(snr, islands > 0, beam_fwhm_pixels=BEAM).astype(np.float16),
        instances=instances,
        labels=np.array(kept, dtype=np.int64),
        islands=islands,
        island_boxes=label_boxes(islands, count),
        island_fluxes=(2.5e-4 * sums).astype(np.float32),
        island_instance=owner,
        field=field,
    )


def sky_tile(seed, *, size=96, sources=5, blank=False, field="f"):
    """A random tile: sources of any size and class, one of them ignored, and a blank strip if asked for."""
    rng = np.random.default_rng(seed)
    noise, _ = beam_noise(rng, size=size, pixels_per_beam=BEAM)
    models, labels = [], []
    for _ in range(sources):
        y, x = rng.uniform(0, size, 2)
        fwhm = BEAM * rng.choice([1.0, 1.0, 2.0])
        models.append(gaussian(size, y, x, peak=float(rng.uniform(6, 60)), fwhm=fwhm))
        labels.append(COMPACT if fwhm == BEAM else int(rng.choice([EXTENDED, FLAGGED])))
    strip = None
    if blank:
        strip = np.zeros((size, size), bool)
        strip[:, : size // 5] = True
    return tile_of(models, labels, noise=noise, blank=strip, ignored=(0,), field=field)


def artefact_tile(*, seed=0, size=128, at=(64, 64)):
    """A bright source with two false islands and negative bowls beside it."""
    noise, _ = beam_noise(np.random.default_rng(seed), size=size, pixels_per_beam=BEAM)
    y, x = at
    models = [
        gaussian(size, y, x, peak=200, fwhm=BEAM),
        gaussian(size, y + 17, x + 4, peak=12, fwhm=BEAM),
        gaussian(size, y - 17, x - 4, peak=12, fwhm=BEAM),
    ]
    bowl = gaussian(size, y + 4, x - 12, peak=-9, fwhm=BEAM)
    return tile_of(models, [FLAGGED, SPURIOUS, SPURIOUS], noise=noise + bowl, field="artefact")


def assert_same(one, other):
    """Two tiles are equal to the last bit."""
    for name in (*MAPS, *TABLES):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.field == other.field


def assert_consistent(tile, *, boxes_within=True):
    """What must hold of every tile: dense ids, boxes of their pixels, owners that their islands lie on."""
    n, count = len(tile.labels), len(tile.island_instance)
    assert tile.channels.dtype == np.float16 and tile.instances.dtype == np.int16 and tile.islands.dtype == np.int16
    assert set(np.unique(tile.instances)) - {IGNORED, 0} == set(range(1, n + 1))
    assert set(np.unique(tile.islands)) - {0} <= set(range(1, count + 1))
    assert ((tile.labels >= 1) & (tile.labels <= 5)).all()
    assert ((tile.island_instance == IGNORED) | ((tile.island_instance >= 1) & (tile.island_instance <= n))).all()
    found = label_boxes(tile.islands, count)
    present = found.any(axis=1)
    if boxes_within:
        assert present.all()
        np.testing.assert_array_equal(found, tile.island_boxes)
    assert np.isfinite(tile.island_fluxes).all()
    for row, owner in enumerate(tile.island_instance, start=1):
        if owner > 0 and present[row - 1]:
            assert (tile.instances[tile.islands == row] == owner).any()
    valid = tile.channels[4] > 0
    assert np.isfinite(tile.channels.astype(np.float32)).all()
    assert not tile.channels[:, ~valid].any()
    np.testing.assert_array_equal(tile.channels[3] > 0, (tile.islands > 0) & valid)
    clipped = np.clip(np.nan_to_num(tile.significance), -5, 30) / 30
    np.testing.assert_allclose(tile.channels[0].astype(np.float32), clipped, atol=2e-3)
