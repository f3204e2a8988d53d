"""Class rules and label maps on constructed cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.datasets import observed_truth
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.simulation import labels, random_config, simulate_sky, truth
from neanias_ml.simulation.labels import island_labels, spurious_labels
from neanias_ml.simulation.sources.models import render
from neanias_ml.simulation.sources.radio_galaxies import fr2
from neanias_ml.simulation.sources.shapes import Site
from neanias_ml.simulation.truth import classify
from tests.simulation.makers import RMS, field, gaussians, point

SNAPSHOT = {"clean_depth": 0.2, "layout": "vla", "hour_angle_span": 0.05, "bandwidth": 0.05, "declination": 40.0}
"""A snapshot with a Y-shaped array, cleaned too little: six rays around each bright source."""


def classes_of(sky):
    return list(sky.truth.objects.class_name)


def test_a_point_source_is_compact_with_one_island():
    truth = field(point(60.0, 50.0, 20)).truth
    assert list(truth.objects.class_name) == ["compact"]
    assert truth.objects.n_islands[0] == 1
    assert truth.objects.size_beams[0] == 0.0
    assert truth.object_labels[50, 60] == truth.objects.object_id[0]


def test_the_mask_of_a_point_source_is_the_beam_above_the_merge_threshold():
    truth = field(point(60.0, 50.0, 50)).truth
    rows, columns = np.mgrid[:128, :128]
    sigma = 5.0 / np.sqrt(8 * np.log(2))
    beam = np.exp(-0.5 * ((columns - 60) ** 2 + (rows - 50) ** 2) / sigma**2)
    assert np.array_equal(truth.object_labels > 0, 50 * beam > 2.6)


@pytest.mark.parametrize(("fwhm_in_beams", "expected"), [(0.95, "compact"), (1.05, "extended"), (3.0, "extended")])
def test_intrinsic_size_of_one_beam_divides_compact_from_extended(fwhm_in_beams, expected):
    sky = field(gaussians((60.0, 60.0, 300 * RMS, 5.0 * fwhm_in_beams)))
    assert classes_of(sky) == [expected]
    assert sky.truth.objects.size_beams[0] == pytest.approx(fwhm_in_beams, rel=1e-3)


def test_two_detached_lobes_are_one_multi_island_object():
    truth = field(gaussians((40.0, 60.0, 30 * RMS, 0.0), (90.0, 60.0, 30 * RMS, 0.0), kind="double")).truth
    assert list(truth.objects.class_name) == ["extended-multisland"]
    assert truth.objects.n_islands[0] == 2
    assert len(truth.islands) == 2
    assert set(truth.islands.object_id) == {1}
    assert set(np.unique(truth.object_labels)) == {0, 1}


def test_a_double_model_splits_into_islands_when_its_length_grows():
    beam = np.eye(2) * (5.0 / 2.3548) ** 2
    pieces = {10.0: [], 80.0: []}
    for length, counts in pieces.items():
        for seed in range(8):
            model = fr2(np.random.default_rng(seed), Site(np.array([64.0, 64.0]), length, 0.3, beam))
            scale = 30 * RMS / render(model, beam=beam).data.max()
            counts.append(field(model.scaled(scale)).truth.objects.n_islands[0])
    assert set(pieces[10.0]) == {1}
    assert np.mean(np.array(pieces[80.0]) >= 2) >= 0.4


def test_a_second_piece_below_five_rms_stays_in_the_mask_but_does_not_count():
    truth = field(gaussians((40.0, 60.0, 30 * RMS, 0.0), (90.0, 60.0, 4 * RMS, 0.0), kind="double")).truth
    assert truth.objects.n_islands[0] == 1
    assert truth.object_labels[60, 90] == 1
    assert truth.island_labels[60, 90] == 0


def test_a_faint_source_is_in_the_table_without_a_mask():
    truth = field(point(60.0, 60.0, 4)).truth
    assert not truth.objects.visible[0]
    assert not truth.object_labels.any()
    assert truth.faint_labels[60, 60] == 1
    assert truth.objects.snr[0] == pytest.approx(4, rel=1e-3)


def test_merged_neighbours_keep_masks_of_their_own_in_one_island():
    truth = field(point(60.0, 60.0, 50), point(68.0, 60.0, 30)).truth
    assert len(truth.islands) == 1
    assert truth.islands.object_id[0] == 1  # most of the flux
    assert truth.islands.n_objects[0] == 2
    assert truth.object_labels[60, 60] == 1
    assert truth.object_labels[60, 68] == 2


def test_a_source_in_front_does_not_cut_an_object_in_two():
    bar = gaussians(*[(40.0 + 4 * step, 60.0, 8 * RMS, 4.0) for step in range(12)], kind="jets")
    truth = field(bar, point(62.0, 60.0, 200)).truth
    assert truth.objects.n_islands[0] == 1
    own = ndimage.label(truth.object_labels == 1, structure=np.ones((3, 3)))[1]
    assert own == 2


def test_a_source_hidden_behind_a_brighter_one_is_not_visible():
    truth = field(point(60.0, 60.0, 500), point(60.5, 60.0, 10)).truth
    assert list(truth.objects.visible) == [True, False]
    assert set(np.unique(truth.object_labels)) == {0, 1}


def test_sidelobes_become_spurious_instances_that_name_their_culprit():
    sky = field(point(64.0, 64.0, 2000), point(10.0, 10.0, 20), **SNAPSHOT)
    objects = sky.truth.objects
    spurious = (objects.class_name == "spurious") & objects.visible
    assert spurious.sum() >= 3
    assert set(objects.culprit_id[spurious]) == {1}
    assert set(objects.kind[spurious]) == {"artefact"}
    for number in objects.object_id[spurious]:
        inside = sky.truth.object_labels == number
        assert (sky.artefact / sky.rms)[inside].min() > 2.6
        assert (sky.artefact / sky.rms)[inside].max() > 5
        assert ndimage.label(inside, structure=np.ones((3, 3)))[1] == 1


def test_a_real_source_on_a_sidelobe_is_flagged():
    culprit = point(64.0, 64.0, 2000)
    empty = field(culprit, **SNAPSHOT)
    far = np.hypot(*np.mgrid[-64:64, -64:64]) > 14
    y, x = np.unravel_index(np.argmax(empty.artefact * far), far.shape)
    snr = 1.5 * empty.artefact[y, x] / RMS
    clean = field(culprit, point(x, y, snr))
    dirty = field(culprit, point(x, y, snr), **SNAPSHOT)
    assert clean.truth.objects.class_name[1] == "compact"
    assert clean.truth.objects.pollution[1] == 0.0
    inside = dirty.truth.object_labels == 2
    ratio = np.abs(dirty.artefact[inside]).sum() / dirty.model[inside].sum()
    assert dirty.truth.objects.pollution[1] == pytest.approx(ratio, rel=0.01)
    assert ratio > 0.3
    assert dirty.truth.objects.class_name[1] == "flagged"


def test_the_rule_puts_spurious_before_islands_before_flags_before_size():
    assert classify(spurious=True, n_islands=3, size_beams=9, pollution=1) == "spurious"
    assert classify(spurious=False, n_islands=2, size_beams=9, pollution=1) == "extended-multisland"
    assert classify(spurious=False, n_islands=1, size_beams=9, pollution=0.31) == "flagged"
    assert classify(spurious=False, n_islands=1, size_beams=1.01, pollution=0.29) == "extended"
    assert classify(spurious=False, n_islands=1, size_beams=0.99, pollution=float("nan")) == "compact"


def test_spurious_regions_ignore_negative_artefacts_and_real_masks():
    artefact = np.zeros((30, 30), dtype=np.float32)
    artefact[5:8, 5:8] = 6
    artefact[15:18, 15:18] = -6
    artefact[22:25, 22:25] = 6
    artefact[5:8, 20:23] = 3  # no pixel above the limit
    real = np.zeros((30, 30), dtype=bool)
    real[20:28, 20:28] = True
    labels, count = spurious_labels(artefact, noise=np.ones((30, 30), dtype=np.float32), real=real)
    assert count == 1
    assert np.array_equal(np.argwhere(labels > 0), np.argwhere(artefact[:10, :10] > 5))


def test_islands_join_diagonally_and_need_a_strong_pixel():
    objects = np.zeros((10, 10), dtype=np.int32)
    objects[1, 1], objects[2, 2], objects[7, 7] = 1, 2, 3
    strong = np.zeros((10, 10), dtype=bool)
    strong[1, 1] = True
    labels, count = island_labels(objects, strong=strong)
    assert count == 1
    assert labels[1, 1] == labels[2, 2] == 1
    assert labels[7, 7] == 0


@pytest.mark.parametrize("seed", range(4))
def test_labels_and_tables_agree_in_random_fields(seed):
    sky = simulate_sky(random_config(np.random.default_rng(seed), size=256), seed=seed)
    objects, islands = sky.truth.objects, sky.truth.islands
    labels, island_map = sky.truth.object_labels, sky.truth.island_labels
    assert set(objects.object_id[objects.visible]) == set(np.unique(labels)) - {0}
    assert np.array_equal(np.bincount(labels.ravel(), minlength=len(objects) + 1)[1:], objects.n_pixels)
    assert np.array_equal(np.bincount(island_map.ravel(), minlength=len(islands) + 1)[1:], islands.n_pixels)
    assert np.all(labels[island_map > 0] > 0)
    assert not labels[~np.isfinite(sky.radio_map.data)].any()
    assert not (sky.truth.faint_labels[labels > 0]).any()
    assert not set(np.unique(sky.truth.faint_labels)) & set(objects.object_id[objects.visible])
    assert set(objects.class_name) <= set(CLASS_NAMES)
    assert np.all(objects.snr[objects.visible] > 5)
    assert np.all((objects.n_islands >= 2) == (objects.class_name == "extended-multisland"))
    for number, owner in zip(islands.island_id, islands.object_id, strict=True):
        assert owner in labels[island_map == number]


def test_training_truth_has_the_limits_of_the_simulation():
    assert observed_truth.MASK_SNR == labels.MASK_SNR == 2.6
    assert observed_truth.MAX_POLLUTION == truth.MAX_POLLUTION == 0.3
    assert observed_truth.COMPACT_LIMIT == truth.COMPACT_LIMIT == 1.0
