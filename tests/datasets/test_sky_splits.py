"""Splits by sky: groups against a brute-force judge, shares, stability, conflicts, overlaps found again."""

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.labels.labelled import SkyPlace
from neanias_ml.datasets.sky_splits import (
    SPLITS,
    SkyItem,
    SplitShares,
    assign_splits,
    group_names,
    membership,
    overlapping_splits,
    read_membership,
    sky_cell,
    sky_groups,
)
from neanias_ml.errors import InputError, UsageError


def scattered(seed, *, count=200, radius=0.3, span=12.0):
    rng = np.random.default_rng(seed)
    return [
        SkyItem(f"image{k}", place=SkyPlace(float(rng.uniform(0, span)), float(rng.uniform(-span, 0)), radius))
        for k in range(count)
    ]


def judged_groups(items):
    """Connected groups by astropy's separations and repeated merging."""
    sky = SkyCoord([item.place.ra for item in items] * u.deg, [item.place.dec for item in items] * u.deg)
    radius = np.array([item.place.radius for item in items])
    groups = list(range(len(items)))
    for one, other in itertools.combinations(range(len(items)), 2):
        if sky[one].separation(sky[other]).deg < radius[one] + radius[other]:
            old, new = groups[other], groups[one]
            groups = [new if group == old else group for group in groups]
    return groups


def same_partition(one, other):
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@given(st.integers(0, 10_000), st.floats(0.05, 1.0))
@settings(max_examples=10, deadline=None)
def test_groups_are_those_of_a_brute_force_judge(seed, radius):
    items = scattered(seed, count=40, radius=radius)
    assert same_partition(sky_groups(items), judged_groups(items))


def test_groups_close_across_ra_zero_and_at_the_pole():
    wrapped = [SkyItem("a", place=SkyPlace(359.95, 10, 0.1)), SkyItem("b", place=SkyPlace(0.05, 10, 0.1))]
    polar = [SkyItem("c", place=SkyPlace(0, 89.9, 0.15)), SkyItem("d", place=SkyPlace(180, 89.9, 0.15))]
    assert sky_groups([*wrapped, *polar]) == (0, 0, 1, 1)
    touching = [SkyItem("e", place=SkyPlace(10, 0, 0.5)), SkyItem("f", place=SkyPlace(11.001, 0, 0.5))]
    assert sky_groups(touching) == (0, 1)


def test_names_of_groups_join_images_and_chains_are_closed():
    items = [
        SkyItem("a", sky_group="one"),
        SkyItem("b", sky_group="one", place=SkyPlace(10, 0, 0.1)),
        SkyItem("c", place=SkyPlace(10.1, 0, 0.1)),
        SkyItem("d", sky_group="two"),
        SkyItem("e"),
        SkyItem("f"),
    ]
    assert sky_groups(items) == (0, 0, 0, 1, 2, 3)
    assert group_names(items) == ("c", "c", "c", "two", "e", "f")


def test_no_two_splits_share_sky_and_shares_are_met():
    items = scattered(1, count=400, radius=0.05, span=80.0)
    shares = SplitShares(train=0.6, validation=0.2, test=0.2)
    splits = assign_splits(items, shares=shares)
    assert overlapping_splits(items, splits) == []
    counts = Counter(splits.values())
    for split in SPLITS:
        assert abs(counts[split] / len(items) - shares.of(split)) < 0.1
    assert assign_splits(list(reversed(items)), shares=shares) == dict(sorted(splits.items())) | splits


def test_an_image_keeps_its_split_when_others_come_or_go():
    items = scattered(2, count=300, radius=0.05, span=80.0)
    few, all_of_them = assign_splits(items[:100]), assign_splits(items)
    joined = sky_groups(items)
    untouched = [k for k in range(100) if all(joined[k] != joined[other] for other in range(100, 300))]
    assert len(untouched) > 50
    assert all(few[items[k].name] == all_of_them[items[k].name] for k in untouched)
    # images of one cell of the sky go together, so most others keep theirs too
    assert np.mean([few[item.name] == all_of_them[item.name] for item in items[:100]]) > 0.95


def test_another_seed_divides_the_sky_otherwise():
    items = scattered(3, count=200, radius=0.02, span=80.0)
    assert assign_splits(items, seed=0) != assign_splits(items, seed=1)


def test_images_held_back_stay_there_and_take_their_group_along():
    held = SkyItem("held", place=SkyPlace(10, 0, 0.1), splits=("test",))
    near = SkyItem("near", place=SkyPlace(10.05, 0, 0.1))
    for seed in range(20):
        assert set(assign_splits([held, near], seed=seed).values()) == {"test"}
    other = dataclasses.replace(near, splits=("train", "validation"))
    with pytest.raises(InputError, match="show the same sky") as caught:
        assign_splits([held, other])
    assert caught.value.code == "SplitConflict"
    free = [SkyItem(f"free{k}", splits=("train", "validation")) for k in range(100)]
    assert set(assign_splits(free).values()) == {"train", "validation"}


def test_shared_sky_is_found_with_both_names():
    items = [
        SkyItem("a", place=SkyPlace(10, 0, 0.1)),
        SkyItem("b", place=SkyPlace(10.1, 0, 0.1)),
        SkyItem("c", sky_group="g"),
        SkyItem("d", sky_group="g"),
        SkyItem("e", place=SkyPlace(50, 0, 0.1)),
    ]
    splits = {"a": "train", "b": "test", "c": "validation", "d": "test", "e": "test"}
    assert [str(pair) for pair in overlapping_splits(items, splits)] == [
        "a (train) and b (test)",
        "c (validation) and d (test)",
    ]


def test_membership_in_a_manifest_says_all_that_the_check_needs():
    items = [*scattered(4, count=30, radius=0.2), SkyItem("g1", sky_group="g"), SkyItem("g2", sky_group="g")]
    splits = assign_splits(items)
    back, splits_back = read_membership(json.loads(json.dumps(membership(items, splits))))
    assert back == items and splits_back == splits
    splits_back["g2"] = next(split for split in SPLITS if split != splits["g1"])
    assert len(overlapping_splits(back, splits_back)) == 1


@given(st.floats(0, 359.999), st.floats(-90, 90))
@settings(max_examples=50, deadline=None)
def test_every_position_has_a_cell_and_cells_are_small(ra, dec):
    assert sky_cell(ra, dec) == sky_cell(ra + 360, dec)
    if abs(dec) < 80:
        step = 3.0 / np.cos(np.radians(dec))
        assert sky_cell(ra, dec) != sky_cell((ra + step) % 360, dec)


def test_shares_that_make_no_sense_are_refused():
    for parts in ({"train": -1.0}, {"train": 0.0, "validation": 0.0, "test": 0.0}, {"test": float("nan")}):
        with pytest.raises(UsageError, match="shares"):
            SplitShares(**parts)
    with pytest.raises(UsageError, match="no share"):
        assign_splits([SkyItem("a", splits=("test", "validation"))], shares=SplitShares(validation=0, test=0))
    with pytest.raises(ValueError, match="different names"):
        assign_splits([SkyItem("a"), SkyItem("a")])
