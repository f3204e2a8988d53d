"""`DetectorTask`: IslandRCNN as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor

from neanias_ml.errors import ModelError
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.training.batches import TileBatch


class DetectorTask(lightning.LightningModule):
    """Minimises the losses of `IslandRCNN` with AdamW.

    Parameters
    ----------
    model_config
        Architecture and loss weights.
    learning_rate
        Peak rate; `neanias_ml.training.callbacks.BudgetSchedule` shapes it over the run.
    weight_decay
        Of weights; biases and normalisation layers are not decayed.
    """

    def __init__(
        self, model_config: IslandRCNNConfig, *, learning_rate: float = 4e-4, weight_decay: float = 0.05
    ) -> None:
        super().__init__()
        self.model = IslandRCNN(model_config).to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def training_step(self, batch: TileBatch, batch_idx: int) -> Tensor:
        """Sum of the weighted losses of a batch."""
        losses = self.model(batch.images, batch.proposals, batch.targets)
        total = torch.stack(list(losses.values())).sum()
        check_finite(losses, step=self.global_step)
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()}, batch_size=len(batch.images))
        self.log("train/loss", total.detach(), batch_size=len(batch.images))
        return total

    def validation_step(self, batch: TileBatch, batch_idx: int) -> None:
        """The same losses without augmentation or gradients, batch statistics left alone."""
        losses = evaluation_losses(self.model, batch)
        size = len(batch.images)
        self.log_dict({f"validation/{name}": loss for name, loss in losses.items()}, batch_size=size, sync_dist=True)
        self.log("validation/loss", torch.stack(list(losses.values())).sum(), batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with decay on matrices and kernels only."""
        decayed = [parameter for parameter in self.parameters() if parameter.ndim >= 2]
        others = [parameter for parameter in self.parameters() if parameter.ndim < 2]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)


def evaluation_losses(model: IslandRCNN, batch: TileBatch) -> dict[str, Tensor]:
    """Losses of a batch with normalisation by the running statistics; the model is left in evaluation mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    losses: dict[str, Tensor] = model(batch.images, batch.proposals, batch.targets)
    model.eval()
    return losses


def check_finite(losses: dict[str, Tensor], *, step: int) -> None:
    """Stop a run whose loss is no number.

    Raises
    ------
    ModelError
        ``LossNotFinite`` with the value of every part.
    """
    if all(bool(torch.isfinite(loss)) for loss in losses.values()):
        return
    parts = ", ".join(f"{name} {float(loss):.4g}" for name, loss in losses.items())
    raise ModelError(
        "LossNotFinite",
        f"the loss of step {step} is not finite ({parts}); lower the learning rate, or train in precision 32-true, "
        "and go on from the last checkpoint with --resume",
    )
