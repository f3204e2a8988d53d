"""Options of the optimisation: values outside their range are refused before any work is done."""

import dataclasses

import pytest

from neanias_ml.errors import UsageError
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.fit_config import FitConfig


def test_a_run_needs_an_end():
    with pytest.raises(UsageError, match="needs an end"):
        FitConfig()


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("batch_size", "max_steps", "accumulate", "checkpoint_minutes", "devices", "nodes")),
        *({name: -1} for name in ("weight_decay", "warmup_steps", "clip_norm", "workers", "learning_rate", "seed")),
        {"average_decay": 1.0},
    ],
)
def test_values_outside_their_range_are_refused(change):
    with pytest.raises(UsageError, match=f"fit.{next(iter(change))} must") as caught:
        dataclasses.replace(FitConfig(max_steps=1), **change)
    assert caught.value.code == "FitConfig"


@pytest.mark.parametrize(
    "change",
    [{"balance_beta": 1.0}, {"validation_tiles": 0}, *({"window_size": size} for size in (0, -32, 100, 511))],
)
def test_feeds_outside_their_range_are_refused(change):
    with pytest.raises(UsageError, match=f"feed.{next(iter(change))} must") as caught:
        TileFeedConfig(**change)
    assert caught.value.code == "FeedConfig"
