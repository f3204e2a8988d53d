"""Schedule, averaged weights and the guard against losses that are no numbers."""

import math

import pytest
import torch
from lightning.pytorch.callbacks import Timer

from neanias_ml.errors import ModelError
from neanias_ml.training.callbacks import AveragedWeights, BudgetSchedule, schedule_factor
from neanias_ml.training.detector.task import DetectorTask
from neanias_ml.training.task import check_finite


def test_schedule_warms_up_and_falls_to_its_end():
    assert schedule_factor(0.0, step=0, warmup_steps=10) == pytest.approx(0.1)
    assert schedule_factor(0.0, step=9, warmup_steps=10) == pytest.approx(1.0)
    assert schedule_factor(0.5, step=99, warmup_steps=10) == pytest.approx(0.505)
    assert schedule_factor(1.0, step=99, warmup_steps=10, final=0.02) == pytest.approx(0.02)
    assert schedule_factor(1.7, step=99, warmup_steps=10) == pytest.approx(0.01)
    falling = [schedule_factor(part / 20, step=99, warmup_steps=1) for part in range(21)]
    assert falling == sorted(falling, reverse=True)


class FakeTimer(Timer):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def time_elapsed(self, stage="train"):
        return self.seconds


@pytest.mark.parametrize(
    ("minutes", "steps", "expected"), [(10.0, None, 0.3), (None, 50, 0.2), (10.0, 50, 0.3), (10.0, 20, 0.5)]
)
def test_progress_follows_the_budget_that_ends_first(minutes, steps, expected):
    schedule = BudgetSchedule(FakeTimer(180.0), max_minutes=minutes, max_steps=steps, warmup_steps=1)
    assert schedule.progress(10) == pytest.approx(expected)


def test_a_schedule_needs_a_budget():
    with pytest.raises(ValueError, match="max_minutes or max_steps"):
        BudgetSchedule(Timer(), max_minutes=None, max_steps=None, warmup_steps=1)


def test_average_equals_the_recursion_written_out():
    average = AveragedWeights(decay=0.9)
    model = torch.nn.BatchNorm1d(2)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average._average, use_buffers=True)
    expected = None
    for update in range(12):
        with torch.no_grad():
            model.weight.fill_(float(update))
            model.running_mean.fill_(10.0 * update)
            model.num_batches_tracked.fill_(update)
        averaged.update_parameters(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = float(update) if expected is None else decay * expected + (1 - decay) * update
    torch.testing.assert_close(averaged.module.weight, torch.full((2,), expected))
    torch.testing.assert_close(averaged.module.running_mean, torch.full((2,), 10.0 * expected))
    assert int(averaged.module.num_batches_tracked) == 11


def test_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match="decay"):
        AveragedWeights(decay=1.0)


def test_losses_that_are_no_numbers_stop_with_their_parts():
    check_finite({"loss_class": torch.tensor(1.0)}, step=1)
    with pytest.raises(ModelError, match=r"step 7 .*loss_class 1, loss_mask nan") as caught:
        check_finite({"loss_class": torch.tensor(1.0), "loss_mask": torch.tensor(math.nan)}, step=7)
    assert caught.value.code == "LossNotFinite"


def test_only_matrices_and_kernels_decay(tiny_config):
    task = DetectorTask(tiny_config, weight_decay=0.1)
    decayed, others = task.configure_optimizers().param_groups
    assert decayed["weight_decay"] == 0.1 and others["weight_decay"] == 0.0
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert sum(len(group["params"]) for group in (decayed, others)) == len(list(task.parameters()))
