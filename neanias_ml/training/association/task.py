"""`AssociationTask`: IslandGraphNetwork as a Lightning module."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from neanias_ml.models.association.network import GraphOutputs, IslandGraphNetwork
from neanias_ml.training.association.batches import GraphBatch
from neanias_ml.training.task import NetworkTask


class AssociationTask(NetworkTask):
    """Minimises the cross-entropies of pairs, of artefacts among islands, and of the classes of objects.

    That of pairs is the mean over fields of the mean over each field's known pairs, the others are means over all
    islands and objects that are known. The class is learnt from the true sets of islands.
    """

    model: IslandGraphNetwork

    def losses(self, batch: GraphBatch) -> dict[str, Tensor]:
        """The losses of a batch; what is not known counts as 0."""
        config = self.model.config
        outputs = self.model(batch.nodes, batch.edges, batch.pairs, batch.crops if config.sees_map else None)
        losses = {"loss_pairs": config.weight_pairs * self._pairs(outputs, batch)}
        if config.features == "map":
            losses["loss_artefact"] = config.weight_artefact * _artefacts(outputs, batch)
            losses["loss_class"] = config.weight_class * self._classes(outputs, batch)
        return losses

    def _pairs(self, outputs: GraphOutputs, batch: GraphBatch) -> Tensor:
        logits, smoothing = outputs.pairs.float(), self.model.config.label_smoothing
        losses = binary_cross_entropy_with_logits(
            logits,
            batch.targets * (1.0 - 2.0 * smoothing) + smoothing,
            pos_weight=logits.new_tensor(self.model.config.positive_weight),
            reduction="none",
        )
        of_field = torch.zeros_like(batch.weights).index_add(0, batch.owner, losses * batch.known)
        return (of_field * batch.weights).mean()

    def _classes(self, outputs: GraphOutputs, batch: GraphBatch) -> Tensor:
        if len(batch.classes) == 0:
            return outputs.states.sum() * 0.0
        logits = self.model.classify(outputs.states, batch.group, len(batch.classes))
        return cross_entropy(logits.float(), batch.classes)

    def batch_size_of(self, batch: GraphBatch) -> int:
        """Number of fields."""
        return len(batch.weights)


def _artefacts(outputs: GraphOutputs, batch: GraphBatch) -> Tensor:
    known = batch.spurious >= 0
    losses = binary_cross_entropy_with_logits(outputs.spurious.float()[known], batch.spurious[known], reduction="sum")
    return losses / known.sum().clamp(min=1)
