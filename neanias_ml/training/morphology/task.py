"""`MorphologyTask`: the morphology network as a Lightning module."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.training.morphology.batches import CutoutBatch
from neanias_ml.training.task import NetworkTask


class MorphologyTask(NetworkTask):
    """Minimises the cross-entropy of `MorphologyNetwork`, a plain mean over the samples of a batch.

    Where a label does not tell bent galaxies from FR-I ones, the probability that the two have together counts.

    Rare classes are drawn more often instead of weighing more: weights of a batch would make the loss of a sample
    depend on those beside it, and on how a batch is shared between processes.

    Parameters
    ----------
    model_config
        Architecture.
    learning_rate, weight_decay
        See `NetworkTask`.
    """

    model: MorphologyNetwork

    def __init__(self, model_config: MorphologyConfig, *, learning_rate: float, weight_decay: float) -> None:
        model = MorphologyNetwork(model_config).to(memory_format=torch.channels_last)
        super().__init__(model, learning_rate=learning_rate, weight_decay=weight_decay)

    def losses(self, batch: CutoutBatch) -> dict[str, Tensor]:
        """``loss_class`` of a batch; 0 for an empty one."""
        if len(batch.labels) == 0:
            return {"loss_class": 0.0 * self.model.head.bias.sum()}
        logs = functional.log_softmax(self.model(batch.images, batch.scalars), dim=1)
        own = logs.gather(1, batch.labels[:, None])[:, 0]
        both = torch.logaddexp(own, logs[:, MORPHOLOGY_NAMES.index("bent")])
        either = batch.untold & (batch.labels == MORPHOLOGY_NAMES.index("FR-I"))
        return {"loss_class": -torch.where(either, both, own).mean()}

    def batch_size_of(self, batch: CutoutBatch) -> int:
        """Number of cutouts."""
        return len(batch.labels)
