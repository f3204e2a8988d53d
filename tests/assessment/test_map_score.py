"""One map against what is known of it, with detectors whose answers are given."""

import numpy as np
import pytest

from neanias_ml.assessment.labelled_maps import KnownMap
from neanias_ml.assessment.map_score import LINKING_LENGTHS, score_map
from neanias_ml.assessment.mistakes import CLASS, FALSE, GROUPING, MISSED, worst_of_all
from neanias_ml.evaluation import GroupingCounts, count_by_class
from neanias_ml.extraction import FinderConfig
from neanias_ml.models.classes import CLASS_LABELS
from tests.assessment.makers import PARTS, known_map, labelled_object, perfect, told
from tests.conftest import make_map

FINDER = FinderConfig()
NAMES = {"c": "compact", "m": "extended-multisland", "e": "extended", "s": "compact"}


def scored(detect=perfect, **changes):
    return score_map(known_map(**changes), detect, finder=FINDER)


def f1(pair):
    return count_by_class([pair], n_classes=5).total().f1


@pytest.fixture(scope="module")
def right():
    return scored()


def test_a_perfect_catalogue_is_perfect(right):
    assert f1(right.network)[[1, 2, 3]].tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(right.network.iou.data.max(), 1.0)
    assert right.mistakes == ()
    assert right.n_without_island == 0
    counts = GroupingCounts(*right.grouped)
    assert (counts.exact_multi, counts.true_multi, counts.singles, counts.singles_kept) == (1, 1, 2, 2)
    assert GroupingCounts(*right.alone).exact_multi == 0


def test_unlabelled_emission_is_neither_hit_nor_false(right):
    assert sorted(right.network.predicted.labels.tolist()) == [2, 3, 4]
    assert right.n_objects > 3
    assert len(right.islands.snr) == 5


def test_where_labels_are_complete_the_same_emission_is_false():
    score = scored(exhaustive=True)
    assert (score.network.predicted.labels == CLASS_LABELS["compact"]).sum() == 2
    # an island that nobody labelled is spurious then
    assert score.islands.is_spurious.sum() >= 1
    assert "spurious, called compact with 90 %" in {one.caption for one in score.mistakes if one.kind == CLASS}


def test_linking_lengths_join_the_lobes_once_they_are_long_enough(right):
    linked = np.array([GroupingCounts(*row).exact_multi for row in right.linked])
    # the lobes are 15 pixels apart, three beams
    assert linked[LINKING_LENGTHS < 2.8].max() == 0
    assert linked[np.argmax(LINKING_LENGTHS > 3.2)] == 1


def test_a_split_object_is_missed_and_wrongly_grouped():
    score = scored(lambda extraction: told(extraction, NAMES | {"m": "extended"}, split=("m",)))
    assert f1(score.network)[3] == 0.0
    kinds = {one.kind: one for one in score.mistakes}
    assert "found as 3 object(s) of 3 island(s)" in kinds[GROUPING].caption
    assert MISSED in kinds and FALSE in kinds
    true, predicted = kinds[GROUPING].true, kinds[GROUPING].predicted
    assert len(true) >= 2 and {one.class_name for one in predicted} >= {"extended"}
    assert kinds[GROUPING].picture.startswith(b"\x89PNG")


def test_an_unlabelled_island_joined_to_a_labelled_object_makes_its_set_wrong():
    score = scored(lambda extraction: told(extraction, NAMES, join=("c", "s")))
    counts = GroupingCounts(*score.grouped)
    assert (counts.singles_kept, counts.singles, counts.exact_multi) == (1, 2, 1)


def test_a_rejected_source_is_missed_and_a_wrong_class_is_told():
    score = scored(lambda extraction: perfect(extraction, wrong={"c": "spurious", "e": "flagged"}))
    kinds = {one.kind: one.caption for one in score.mistakes}
    assert kinds[MISSED].endswith("called spurious") and "compact" in kinds[MISSED]
    assert kinds[CLASS] == "extended, called flagged with 90 %"


def test_ignored_labels_are_not_judged():
    objects = [labelled_object(name, model, ignored=name == "extended") for name, model in PARTS.items()]
    score = scored(objects=objects)
    assert sorted(score.network.true.labels.tolist()) == [2, 4]
    assert sorted(score.network.predicted.labels.tolist()) == [2, 4]
    assert len(score.drawn.true) == 2


def test_a_label_without_an_island_counts_as_missed_as_drawn():
    empty = np.zeros((128, 128))
    empty[55:65, 20:30] = 1.0
    objects = [labelled_object(name, model) for name, model in PARTS.items()] + [labelled_object("compact", empty)]
    score = scored(objects=objects)
    assert score.n_without_island == 1
    assert len(score.drawn.true) == 4 and len(score.network.true) == 3


def test_surroundings_are_measured_in_noise_and_beams(right):
    row = int(np.flatnonzero(right.network.true.labels == CLASS_LABELS["compact"])[0])
    assert right.true.snr[row] == pytest.approx(60, rel=0.15)
    # a Gaussian of 60 sigma covers ln(60 / 2.6) beam areas above 2.6 sigma; pixels of noise hang on to it
    assert np.log(60 / 2.6) < right.true.size[row] < 1.5 * np.log(60 / 2.6)
    assert np.isinf(right.true.bright_distance).all()


def test_a_blank_map_and_an_empty_one():
    known = known_map()
    blank = KnownMap("blank", make_map(np.full((128, 128), np.nan)), image=known.image)
    score = score_map(blank, perfect, finder=FINDER)
    assert score.is_blank and score.n_without_island == 3 and len(score.drawn.true) == 3
    noise = np.random.default_rng(2).normal(size=(128, 128)) * 1e-9 + np.tile([0.0, 1e-9], (128, 64))
    empty = score_map(KnownMap("empty", make_map(noise), image=known.image), perfect, finder=FINDER)
    assert len(empty.network.true) == empty.n_objects == 0
    assert empty.n_without_island == 3


def test_the_worst_mistakes_are_spread_over_areas():
    split = scored(lambda extraction: told(extraction, NAMES | {"m": "extended"}, split=("m",)))
    missed = [one for one in split.mistakes if one.kind == MISSED][:1]
    many = [(0, one) for one in missed * 9] + [(1, one) for one in missed * 2]
    chosen = worst_of_all(many, count=5)
    assert [area for area, _ in chosen].count(1) == 2 and len(chosen) == 5
