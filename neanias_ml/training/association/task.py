"""`AssociationTask`: IslandGraphNetwork as a Lightning module."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.batches import GraphBatch
from neanias_ml.training.task import NetworkTask


class AssociationTask(NetworkTask):
    """Minimises the cross-entropy of pairs: the mean over fields of the mean over each field's known pairs."""

    model: IslandGraphNetwork

    def losses(self, batch: GraphBatch) -> dict[str, Tensor]:
        """The one loss of a batch; fields without a known pair count as 0."""
        logits = self.model(batch.nodes, batch.edges, batch.pairs).float()
        smoothing = self.model.config.label_smoothing
        losses = binary_cross_entropy_with_logits(
            logits,
            batch.targets * (1.0 - 2.0 * smoothing) + smoothing,
            pos_weight=logits.new_tensor(self.model.config.positive_weight),
            reduction="none",
        )
        of_field = torch.zeros_like(batch.weights).index_add(0, batch.owner, losses * batch.known)
        return {"loss_pairs": (of_field * batch.weights).mean()}

    def batch_size_of(self, batch: GraphBatch) -> int:
        """Number of fields."""
        return len(batch.weights)
