"""Draws: nothing lost or drawn twice over all ranks, epochs that differ and repeat, rare classes as often as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.errors import UsageError
from neanias_ml.training.sampling import MAX_REPEAT, ProcessPlace, TileSampler, repeat_factors, repeated


def draws(count, *, factors=None, size=1, epoch=0, seed=0):
    """The draws of every rank."""
    result = []
    for rank in range(size):
        sampler = TileSampler(count, factors=factors, place=ProcessPlace(rank, size), seed=seed)
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        result.append(drawn)
    return result


@settings(max_examples=60, deadline=None)
@given(count=st.integers(8, 60), size=st.integers(1, 8), epoch=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_ranks_share_an_epoch_without_loss_or_repetition(count, size, epoch, seed):
    factors = 1.0 + np.random.default_rng(seed).random(count) * 3
    by_rank = draws(count, factors=factors, size=size, epoch=epoch, seed=seed)
    (alone,) = draws(count, factors=factors, epoch=epoch, seed=seed)
    assert len({len(part) for part in by_rank}) == 1
    together = sorted((draw for part in by_rank for draw in part), key=lambda draw: draw.position)
    assert together == alone[: len(together)] and len(alone) - len(together) < size
    assert [draw.position for draw in together] == list(range(len(together)))
    assert {draw.epoch for draw in together} == {epoch}


@settings(max_examples=40, deadline=None)
@given(count=st.integers(8, 60), size=st.integers(1, 8))
def test_evaluation_draws_every_tile_once(count, size):
    by_rank = draws(count, size=size)
    assert sorted(draw.row for part in by_rank for draw in part) == list(range(count))


def test_epochs_and_seeds_differ_and_repeat():
    factors = np.ones(50)
    rows = {
        (epoch, seed): tuple(draw.row for draw in draws(50, factors=factors, epoch=epoch, seed=seed)[0])
        for epoch in (0, 1)
        for seed in (0, 1)
    }
    assert len(set(rows.values())) == 4
    assert all(sorted(part) == list(range(50)) for part in rows.values())
    assert rows[1, 0] == tuple(draw.row for draw in draws(50, factors=factors, epoch=1)[0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 40))
def test_every_tile_comes_up_its_expected_number_of_times_rounded(seed, count):
    rng = np.random.default_rng(seed)
    factors = 1 + 4 * rng.random(count)
    total = round(factors.sum())
    expected = factors * total / factors.sum()
    counts = np.bincount(repeated(factors, total=total, rng=rng), minlength=count)
    assert counts.sum() == total
    assert (counts >= np.floor(expected - 1e-6)).all() and (counts <= np.ceil(expected + 1e-6)).all()


def test_repeats_have_the_right_mean():
    factors = np.array([1.0, 1.0, 2.5, 1.5])
    counts = sum(
        np.bincount([draw.row for draw in draws(4, factors=factors, epoch=epoch)[0]], minlength=4)
        for epoch in range(400)
    )
    np.testing.assert_allclose(counts / 400, factors, atol=0.1)


def test_an_interrupted_epoch_goes_on():
    sampler = TileSampler(20, factors=np.ones(20), place=ProcessPlace(1, 2))
    whole = list(sampler)
    sampler.skip(4)
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole


def test_more_processes_than_tiles_are_refused():
    with pytest.raises(UsageError, match="cannot share 3 tiles"):
        TileSampler(3, factors=np.ones(3), place=ProcessPlace(0, 4))


def test_repeat_factors_follow_the_rarest_class():
    common, rare = [np.full(3, 2)] * 6, [np.array([2, 1, 2])] * 2
    factors = repeat_factors([*common, *rare], n_classes=5, threshold=0.5)
    np.testing.assert_allclose(factors, [1] * 6 + [np.sqrt(0.5 / 0.25)] * 2)
    empty = np.empty(0, np.int64)
    assert repeat_factors([empty, *common], n_classes=5, threshold=0.5)[0] == 1.0
    assert repeat_factors([], n_classes=5, threshold=0.5).shape == (0,)
    assert repeat_factors([np.array([1]), *common * 500], n_classes=5, threshold=1.0)[0] == MAX_REPEAT


@pytest.mark.parametrize("held", [2, 10, 40])
def test_tiles_with_something_false_are_a_share_of_the_draws(held):
    labels = [np.array([1, 2])] * (held // 2) + [np.array([5])] * (held - held // 2) + [np.array([2])] * (100 - held)
    factors = repeat_factors(labels, n_classes=5, threshold=0.0, rare=(1, 5), rare_share=0.15)
    share = factors[:held].sum() / factors.sum()
    assert factors.min() == 1.0 and factors.max() <= MAX_REPEAT
    if held == 2:
        assert factors[0] == MAX_REPEAT
    else:
        assert share == pytest.approx(max(0.15, held / 100))
    assert (repeat_factors(labels[held:], n_classes=5, threshold=0.0, rare=(1, 5), rare_share=0.15) == 1).all()


class FakeTrainer:
    world_size, global_rank = 4, 3


def test_place_comes_from_the_trainer_or_horovods_launcher(monkeypatch):
    monkeypatch.delenv("HOROVOD_SIZE", raising=False)
    assert ProcessPlace.current() == (0, 1)
    monkeypatch.setenv("HOROVOD_SIZE", "3")
    monkeypatch.setenv("HOROVOD_RANK", "2")
    assert ProcessPlace.current() == (2, 3)
    assert ProcessPlace.current(FakeTrainer()) == (3, 4)
    for rank in ("3", "x", "-1"):
        monkeypatch.setenv("HOROVOD_RANK", rank)
        with pytest.raises(UsageError, match="HOROVOD_RANK"):
            ProcessPlace.current()
