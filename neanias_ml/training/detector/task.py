"""`DetectorTask`: IslandRCNN as a Lightning module."""

from __future__ import annotations

import torch
from torch import Tensor

from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.training.detector.batches import TileBatch
from neanias_ml.training.task import NetworkTask


class DetectorTask(NetworkTask):
    """Minimises the losses of `IslandRCNN`.

    Parameters
    ----------
    model_config
        Architecture and loss weights.
    learning_rate, weight_decay
        See `NetworkTask`.
    """

    def __init__(
        self, model_config: IslandRCNNConfig, *, learning_rate: float = 4e-4, weight_decay: float = 0.05
    ) -> None:
        model = IslandRCNN(model_config).to(memory_format=torch.channels_last)
        super().__init__(model, learning_rate=learning_rate, weight_decay=weight_decay)

    def losses(self, batch: TileBatch) -> dict[str, Tensor]:
        """Weighted losses of a batch, also in evaluation mode."""
        if self.training:
            losses: dict[str, Tensor] = self.model(batch.images, batch.proposals, batch.targets)
            return losses
        return evaluation_losses(self.model, batch)

    def batch_size_of(self, batch: TileBatch) -> int:
        """Number of tiles."""
        return len(batch.images)


def evaluation_losses(model: torch.nn.Module, batch: TileBatch) -> dict[str, Tensor]:
    """Losses of a batch with normalisation by the running statistics; the model is left in evaluation mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    losses: dict[str, Tensor] = model(batch.images, batch.proposals, batch.targets)
    model.eval()
    return losses
