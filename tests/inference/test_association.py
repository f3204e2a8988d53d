import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.inference.association import MULTI_COLUMN, associate_islands
from neanias_ml.inference.objects import Detections


def detections(*entries):
    """Detections from (probability of extended-multisland, island ids)."""
    probabilities = np.zeros((len(entries), 5))
    probabilities[:, MULTI_COLUMN] = [probability for probability, _ in entries]
    boxes = np.array([[index, index, index + 5, index + 5] for index in range(len(entries))], dtype=float)
    return Detections(
        boxes=boxes.reshape(-1, 4),
        scores=probabilities.max(axis=1, initial=0),
        probabilities=probabilities,
        spurious=np.zeros(len(entries)),
        island_ids=tuple(ids for _, ids in entries),
    )


def groups_of(found):
    return [group.island_ids for group in found]


def test_a_mask_over_several_islands_joins_them():
    found = associate_islands(detections((0.9, (2, 4))), np.arange(1, 6), threshold=0.5)
    assert groups_of(found) == [(1,), (2, 4), (3,), (5,)]
    assert [group.detection for group in found] == [None, 0, None, None]


def test_the_more_probable_detection_wins():
    found = associate_islands(detections((0.6, (1, 2, 3)), (0.9, (3, 4))), np.arange(1, 5), threshold=0.5)
    assert groups_of(found) == [(1, 2), (3, 4)]


def test_improbable_and_single_masks_join_nothing():
    found = associate_islands(detections((0.4, (1, 2)), (0.9, (3,))), np.arange(1, 4), threshold=0.5)
    assert groups_of(found) == [(1,), (2,), (3,)]


def test_no_islands():
    assert associate_islands(detections(), np.zeros(0, dtype=np.int64), threshold=0.5) == []


@given(
    entries=st.lists(
        st.tuples(st.floats(0, 1), st.lists(st.integers(1, 12), min_size=1, max_size=5, unique=True)), max_size=8
    ),
    threshold=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_every_island_is_in_just_one_object(entries, threshold):
    found = associate_islands(
        detections(*[(probability, tuple(ids)) for probability, ids in entries]), np.arange(1, 13), threshold=threshold
    )
    assert sorted(identifier for group in found for identifier in group.island_ids) == list(range(1, 13))
    assert groups_of(found) == sorted(groups_of(found))
