"""`NetworkTask`: what the Lightning modules of all networks have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from neanias_ml.errors import ModelError
from neanias_ml.training.checkpoint_files import DESCRIPTION_KEY


class NetworkTask(lightning.LightningModule):
    """Minimises the sum of a network's losses with AdamW.

    A network says what its losses are (`losses`) and how many samples a batch holds (`batch_size_of`).

    Parameters
    ----------
    model
        The network; its parameters are what is trained.
    learning_rate
        Peak rate; `neanias_ml.training.callbacks.BudgetSchedule` shapes it over the run.
    weight_decay
        Of matrices and kernels; biases and normalisation layers are not decayed.
    """

    def __init__(self, model: nn.Module, *, learning_rate: float, weight_decay: float) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.identity: dict[str, Any] | None = None
        """what checkpoints say of the network; see `neanias_ml.training.checkpoints.checkpoint_description`"""

    @property
    def config(self) -> Any:
        """Architecture of the network: the frozen dataclass that every network keeps as ``config``."""
        return self.model.config

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Weighted parts of the loss by name (``loss_class``, ...), each a finite scalar also for an empty batch."""

    @abstractmethod
    def batch_size_of(self, batch: Any) -> int:
        """Number of samples in a batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Sum of the losses of a batch."""
        losses = self.losses(batch)
        check_finite(losses, step=self.global_step)
        self._log_losses("train", losses, batch, across_ranks=False)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        return total(losses)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The same losses without gradients; batch statistics are left alone."""
        self._log_losses("validation", self.losses(batch), batch, across_ranks=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with decay on matrices and kernels only."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [one for one in trained if one.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint say which network it is of."""
        if self.identity is not None:
            checkpoint[DESCRIPTION_KEY] = self.identity | {"step": self.global_step}

    def _log_losses(self, stage: str, losses: dict[str, Tensor], batch: Any, *, across_ranks: bool) -> None:
        values = {f"{stage}/{name}": loss.detach() for name, loss in losses.items()}
        values[f"{stage}/loss"] = total(losses).detach()
        self.log_dict(values, batch_size=self.batch_size_of(batch), sync_dist=across_ranks)


def total(losses: dict[str, Tensor]) -> Tensor:
    """Sum of the parts of a loss."""
    return torch.stack(list(losses.values())).sum()


def check_finite(losses: dict[str, Tensor], *, step: int) -> None:
    """Stop a run whose loss is no number.

    Raises
    ------
    ModelError
        ``LossNotFinite`` with the value of every part.
    """
    if bool(torch.isfinite(total(losses))):
        return
    parts = ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.items())
    raise ModelError(
        "LossNotFinite",
        f"the loss of step {step} is not finite ({parts}); lower the learning rate, or train in precision 32-true, "
        "and go on from the last checkpoint with --resume",
    )
