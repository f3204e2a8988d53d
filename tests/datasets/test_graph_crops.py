"""Crops around islands: what is where, how values become steps, and that turns of the map turn the crops."""

import dataclasses

import numpy as np
import pytest

from neanias_ml.datasets.graph_crop_values import CROP_SIDE, STEPS_PER_ASINH
from neanias_ml.datasets.graph_crops import FAR_BEAMS, NEAR_BEAMS, island_crops
from neanias_ml.datasets.graphs import EVIDENCE
from neanias_ml.extraction.artefacts.features import ArtefactFeatures

BEAM = 6.0
"""With it a cell of the near crop is two pixels wide, of the far one eight."""


def one_island(height=30.0):
    significance = np.full((301, 301), 0.5, np.float32)
    labels = np.zeros((301, 301), int)
    significance[148:153, 145:156], labels[148:153, 145:156] = height, 1
    significance[148:153, 165:168], labels[148:153, 165:168] = 7.0, 2
    return significance, labels, np.array([[145, 148, 156, 153], [165, 148, 168, 153]])


def test_cells_are_means_of_the_signal_to_noise_around_the_middle_of_the_box():
    significance, labels, boxes = one_island()
    crops = island_crops(boxes, significance=significance, labels=labels, beam_fwhm=BEAM)
    assert crops.shape == (2, 3, CROP_SIDE, CROP_SIDE) and crops.dtype == np.int8
    middle = CROP_SIDE // 2
    assert crops[0, 0, middle, middle] == round(STEPS_PER_ASINH * np.arcsinh(30.0))
    assert crops[0, 0, 0, 0] == round(STEPS_PER_ASINH * np.arcsinh(0.5))
    cell = FAR_BEAMS * BEAM / CROP_SIDE
    first = int(np.ceil(150 - FAR_BEAMS * BEAM / 2 + middle * cell))
    block = significance[first : first + int(cell), first : first + int(cell)]
    assert crops[0, 2, middle, middle] == pytest.approx(STEPS_PER_ASINH * np.arcsinh(block.mean()), abs=0.5)


def test_the_own_island_is_told_from_others():
    significance, labels, boxes = one_island()
    crops = island_crops(boxes, significance=significance, labels=labels, beam_fwhm=BEAM)
    assert set(np.unique(crops[:, 1])) == {-1, 0, 1}
    own, other = (np.argwhere(crops[0, 1] == value)[:, 1].mean() for value in (1, -1))
    assert other - own == pytest.approx((166 - 150) / (NEAR_BEAMS * BEAM / CROP_SIDE), abs=0.6)
    np.testing.assert_array_equal(np.sign(crops[1, 1, :, CROP_SIDE // 2].max()), 1)


def test_a_turned_map_gives_turned_crops():
    rng = np.random.default_rng(0)
    significance, labels, boxes = one_island()
    significance += rng.normal(size=significance.shape).astype(np.float32)
    straight = island_crops(boxes[:1], significance=significance, labels=labels, beam_fwhm=5.3)
    turned_box = np.array([[148, 145, 153, 156]])
    turned = island_crops(turned_box, significance=significance.T, labels=labels.T, beam_fwhm=5.3)
    np.testing.assert_array_equal(turned[0], straight[0].transpose(0, 2, 1))


def test_blank_pixels_and_the_world_beyond_the_map_are_zero():
    significance = np.full((20, 20), np.nan, np.float32)
    labels = np.zeros((20, 20), int)
    labels[0, 0], significance[0, 0] = 1, 1e9
    crops = island_crops(np.array([[0, 0, 1, 1]]), significance=significance, labels=labels, beam_fwhm=4.0)
    assert crops.max() == 127 and (crops[0, 2] == 0).sum() >= CROP_SIDE**2 - 1
    none = island_crops(np.empty((0, 4), int), significance=significance, labels=labels, beam_fwhm=4.0)
    assert none.shape == (0, 3, CROP_SIDE, CROP_SIDE)


def test_large_islands_fit_into_their_crops():
    significance, labels = np.full((400, 400), 0.0, np.float32), np.zeros((400, 400), int)
    significance[100:300, 180:220], labels[100:300, 180:220] = 9.0, 1
    crops = island_crops(np.array([[180, 100, 220, 300]]), significance=significance, labels=labels, beam_fwhm=4.0)
    assert (crops[0, 1, [0, -1]] == 0).all() and 10 < (crops[0, 1].max(axis=1) > 0).sum() < CROP_SIDE


def test_graphs_keep_columns_that_the_evidence_has():
    assert set(EVIDENCE) < {field.name for field in dataclasses.fields(ArtefactFeatures)}
