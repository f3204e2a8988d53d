"""`IslandGraphNetwork`: messages between islands, and for each pair the log-odds that it belongs together.

Edges and nodes take turns, as in the interaction networks with which particle tracks are found (Battaglia et al. 2016,
arXiv:1612.00222; DeZoort et al. 2021, arXiv:2103.16701). Everything is symmetric in the two islands of a pair and sums
over neighbours, so that no order of islands or pairs matters; graphs of a batch do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.features import edge_features, node_features


@dataclass(frozen=True)
class FeatureScale:
    """Mean and standard deviation of every feature over the training data."""

    node_mean: Tensor
    node_deviation: Tensor
    edge_mean: Tensor
    edge_deviation: Tensor


class IslandGraphNetwork(nn.Module):
    """Log-odds of every pair of islands.

    Features are brought to zero mean and unit deviation by values that belong to the weights.

    Parameters
    ----------
    config
        Architecture.
    """

    node_mean: Tensor
    node_deviation: Tensor
    edge_mean: Tensor
    edge_deviation: Tensor

    def __init__(self, config: IslandGraphConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        n_nodes, n_edges = len(node_features(config.features)), len(edge_features(config.features))
        for name, size in (("node", n_nodes), ("edge", n_edges)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_deviation", torch.ones(size))
        self.node_in = _mlp(n_nodes, width)
        self.edge_in = _mlp(n_edges, width)
        self.rounds = nn.ModuleList([MessageRound(width) for _ in range(config.rounds)])
        self.head = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def set_scale(self, scale: FeatureScale) -> None:
        """Take over the normalisation of the training data."""
        for name, values in vars(scale).items():
            getattr(self, name).copy_(values)

    def forward(self, nodes: Tensor, edges: Tensor, pairs: Tensor) -> Tensor:
        """Log-odds of pairs.

        Parameters
        ----------
        nodes
            (I, F) features of islands, of one graph or several.
        edges
            (E, G) features of pairs.
        pairs
            (E, 2) rows of ``nodes``.

        Returns
        -------
        Tensor
            (E,) log-odds that both islands are of one object.
        """
        node = self.node_in((nodes - self.node_mean) / self.node_deviation)
        edge = self.edge_in((edges - self.edge_mean) / self.edge_deviation)
        for messages in self.rounds:
            node, edge = messages(node, edge, pairs)
        logits: Tensor = self.head(torch.cat([*_symmetric(node, pairs), edge], dim=1))
        return logits.squeeze(1)


class MessageRound(nn.Module):
    """Pairs look at their islands, islands at the gated sum of what their pairs send them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge_update = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.edge_norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, width)
        self.value = nn.Linear(2 * width, width)
        self.node_update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.node_norm = nn.LayerNorm(width)

    def forward(self, node: Tensor, edge: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """(I, H) islands and (E, H) pairs after the round."""
        edge = self.edge_norm(edge + self.edge_update(torch.cat([*_symmetric(node, pairs), edge], dim=1)))
        gate = torch.sigmoid(self.gate(edge))
        received = torch.zeros_like(node)
        for end, far in ((0, 1), (1, 0)):
            sent = gate * self.value(torch.cat([node[pairs[:, far]], edge], dim=1))
            received = received.index_add(0, pairs[:, end], sent.to(received.dtype))
        # a sum over many pairs would leave the range in which the network was trained
        heard = received / torch.sqrt(1.0 + received.square().mean(dim=1, keepdim=True))
        return self.node_norm(node + self.node_update(torch.cat([node, heard], dim=1))), edge


def _symmetric(node: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and distance of the two islands of each pair."""
    one, other = node[pairs[:, 0]], node[pairs[:, 1]]
    return one + other, (one - other).abs()


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.LayerNorm(width))
