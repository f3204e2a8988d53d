"""The statistics under the evidence, against simulation and independent formulae."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from neanias_ml.extraction.extended.blocks import BlockGrid
from neanias_ml.extraction.extended.clustering import merge_superpixels
from neanias_ml.extraction.extended.coarse import CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import STRENGTH, local_noise, log_bayes_factor
from neanias_ml.extraction.extended.matched import FilterBank, largest_filter
from neanias_ml.extraction.extended.regions import FoundBins, join_regions
from neanias_ml.extraction.extended.shells import find_shells, ring_template
from neanias_ml.extraction.extended.starlet import starlet_transform
from neanias_ml.extraction.extended.superpixels import Superpixels
from tests.extraction.extended.scenes import correlated_noise, shape_profile

BEAM = 5.0


def coarse_block(image, **settings):
    config = ExtendedConfig(**settings)
    grid = BlockGrid.of_map(image.shape, beam_fwhm=BEAM, config=config)
    block = grid.read(grid.cores()[0], lambda window: image[window.slices], clip=config.clip_sigma)
    return CoarseBlock.of_block(block, starlet_transform(block.values, scales=3), config=config), config


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.5, 4.0, 7.0])
def test_bayes_factor_is_the_integral_over_the_prior(z):
    with_emission, _ = integrate.quad(
        lambda mean: stats.norm.pdf(z, mean) * stats.halfnorm.pdf(mean, scale=STRENGTH), 0, 60, points=[max(z, 0.1)]
    )
    assert log_bayes_factor(np.array([z]))[0] == pytest.approx(np.log(with_emission / stats.norm.pdf(z)), abs=0.01)


def test_no_value_is_no_evidence():
    assert log_bayes_factor(np.array([np.nan]))[0] == 0


def test_local_noise_rises_with_negative_artefacts_and_not_with_emission():
    level = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    emission, artefact = level.copy(), level.copy()
    emission[96:160, 96:160] += 5
    artefact[96:160, 96:160] *= 5
    middle = np.s_[14:18, 14:18]
    quiet, bright, striped = (
        local_noise(image, noise=1.0, scale=2, beam=2.5)[middle].mean() for image in (level, emission, artefact)
    )
    assert quiet == pytest.approx(1.0, abs=0.1)
    assert bright == pytest.approx(1.0, abs=0.1)
    assert striped > 2


def test_filter_answers_have_the_propagated_noise():
    coarse, config = coarse_block(correlated_noise(np.random.default_rng(3), size=1024, beam=BEAM))
    bank = FilterBank.of_block(coarse, largest=largest_filter(coarse.beam, config=config))
    template = ring_template(8.0, 1.5)
    answer = bank.answer(template)[20:-20, 20:-20]
    assert answer.std() == pytest.approx(bank.covariance(template, (0, 0)) ** 0.5, rel=0.1)


def test_mean_of_wide_areas_has_its_standard_error():
    coarse, _ = coarse_block(correlated_noise(np.random.default_rng(4), size=1024, beam=BEAM), background_error=0.0)
    side = 16
    boxes = coarse.values.reshape(256 // side, side, 256 // side, side).mean(axis=(1, 3))
    assert boxes.std() == pytest.approx(float(coarse.error_of_mean(np.array(side**2))), rel=0.2)


def test_a_ring_is_found_where_it_is_and_not_with_dark_sky_beside_it():
    rng = np.random.default_rng(9)
    noise = correlated_noise(rng, size=512, beam=BEAM)
    ring = shape_profile(rng, "ring", size=512, beam=BEAM, centre=(256.0, 240.0), extent=90.0)
    neighbour = shape_profile(rng, "ring", size=512, beam=BEAM, centre=(256.0, 240.0), extent=60.0)
    coarse, config = coarse_block(noise + 1.5 * ring)
    shells = find_shells(FilterBank.of_block(coarse, largest=100), config=config)
    assert (4 * shells[0].y, 4 * shells[0].x) == (pytest.approx(256, abs=8), pytest.approx(240, abs=8))
    assert 4 * shells[0].radius == pytest.approx(45, rel=0.15)
    sidelobe, _ = coarse_block(noise + 1.5 * ring - 2.5 * neighbour)
    there = find_shells(FilterBank.of_block(sidelobe, largest=100), config=config)
    assert max((one.significance for one in there), default=0.0) < 0.7 * shells[0].significance


def test_superpixels_cover_the_block_and_keep_its_sum():
    coarse, _ = coarse_block(correlated_noise(np.random.default_rng(5), size=256, beam=BEAM))
    superpixels = Superpixels.of_block(coarse, side=6.0, compactness=0.3)
    assert (superpixels.count * superpixels.mean).sum() == pytest.approx(float(coarse.values.sum()), abs=1e-2)
    assert superpixels.count.sum() == coarse.valid.sum()


def test_merging_parts_two_levels_and_follows_its_limit():
    rng = np.random.default_rng(6)
    disk = shape_profile(rng, "disk", size=256, beam=BEAM, centre=(128.0, 128.0), extent=120.0)
    coarse, config = coarse_block(correlated_noise(rng, size=256, beam=BEAM) + 3 * disk)
    superpixels = Superpixels.of_block(coarse, side=5.0, compactness=0.3)
    merged = merge_superpixels(superpixels, coarse, config=config)
    assert merged.min() == 0 and len(np.unique(merged)) == merged.max() + 1
    inside = np.bincount(merged[superpixels.labels[26:38, 26:38]].ravel()).argmax()
    outside = np.bincount(merged[superpixels.labels[:8]].ravel()).argmax()
    assert inside != outside
    everything = merge_superpixels(superpixels, coarse, config=ExtendedConfig(dissimilarity=1e6))
    assert everything.max() == 0
    nothing = merge_superpixels(superpixels, coarse, config=ExtendedConfig(dissimilarity=1e-9))
    assert nothing.max() + 1 == len(superpixels.count)


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_those_of_a_label_image(seed):
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    shape = (37, 41)
    odds = rng.normal(size=shape).astype(np.float32)
    index = np.flatnonzero(odds > 0.7)
    halves = [index[index % 2 == 0], index[index % 2 == 1]]
    parts = [FoundBins(part, odds.ravel()[part], np.zeros(0, np.int64)) for part in halves]
    regions = join_regions(parts, shape=shape, factor=1, seed_odds=1.5, min_bins=3)
    labels, number = ndimage.label(odds > 0.7, structure=np.ones((3, 3)))
    peaks = ndimage.maximum(odds, labels, np.arange(1, number + 1))
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.flatnonzero((peaks >= 1.5) & (sizes >= 3)) + 1
    assert len(regions) == len(kept) > 0
    assert np.array_equal(regions.labels(shape) > 0, np.isin(labels, kept))
    assert np.allclose(np.sort(regions.score), np.sort(peaks[kept - 1]))
