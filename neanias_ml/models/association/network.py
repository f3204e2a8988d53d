"""`IslandGraphNetwork`: messages between islands, and what follows for pairs, islands and the objects they form.

For each pair the log-odds that both islands are of one object, for each island those of being an artefact, and for
each set of islands the class of the object. The class is read from the set as a whole (Zaheer et al. 2017, Deep Sets,
arXiv:1703.06114), so that no order of its islands matters. Edges and nodes take turns, as in the interaction networks
with which particle tracks are found (Battaglia et al. 2016, arXiv:1612.00222; DeZoort et al. 2021, arXiv:2103.16701).
Everything is symmetric in the two islands of a pair and sums over neighbours, so that no order of islands or pairs
matters; graphs of a batch do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.crop_encoder import CropEncoder
from neanias_ml.models.association.features import edge_features, node_features
from neanias_ml.models.classes import CLASS_NAMES


@dataclass(frozen=True)
class FeatureScale:
    """Mean and standard deviation of every feature over the training data."""

    node_mean: Tensor
    node_deviation: Tensor
    edge_mean: Tensor
    edge_deviation: Tensor


class GraphOutputs(NamedTuple):
    """What the network says of the islands and pairs of a graph."""

    pairs: Tensor
    """(E,) log-odds that both islands are of one object"""
    spurious: Tensor
    """(I,) log-odds that an island is an artefact; NaN where the network knows nothing of the map"""
    states: Tensor
    """(I, H) what is known of each island after all messages, for `IslandGraphNetwork.classify`"""


class IslandGraphNetwork(nn.Module):
    """Log-odds of every pair of islands, of artefacts, and classes of objects.

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
        self.crops = CropEncoder(config.crop_widths, features=width) if config.sees_map else None
        self.node_in = _mlp(n_nodes + (width if config.sees_map else 0), width)
        self.edge_in = _mlp(n_edges, width)
        self.rounds = nn.ModuleList([MessageRound(width) for _ in range(config.rounds)])
        self.head = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, 1))
        self.objects = ObjectHeads(width) if config.features == "map" else None

    def set_scale(self, scale: FeatureScale) -> None:
        """Take over the normalisation of the training data."""
        for name, values in vars(scale).items():
            getattr(self, name).copy_(values)

    def forward(self, nodes: Tensor, edges: Tensor, pairs: Tensor, crops: Tensor | None = None) -> GraphOutputs:
        """What follows for the pairs and islands of one graph, or of several.

        Parameters
        ----------
        nodes
            (I, F) features of islands.
        edges
            (E, G) features of pairs.
        pairs
            (E, 2) rows of ``nodes``.
        crops
            (I, 3, S, S) int8 the map around each island; only where the network looks at it.

        Raises
        ------
        ValueError
            If the network looks at crops and there are none.
        """
        first = (nodes - self.node_mean) / self.node_deviation
        if self.crops is not None:
            if crops is None or crops.shape[1] == 0:
                raise ValueError("this network looks at crops of the map, and the graph has none")
            first = torch.cat([first, self.crops(crops)], dim=1)
        node = start = self.node_in(first)
        edge = self.edge_in((edges - self.edge_mean) / self.edge_deviation)
        for messages in self.rounds:
            node, edge = messages(node, edge, pairs)
        logits: Tensor = self.head(torch.cat([*_symmetric(node, pairs), edge], dim=1))
        states = torch.cat([start, node], dim=1)
        spurious = logits.new_full((len(nodes),), torch.nan) if self.objects is None else self.objects(states)
        return GraphOutputs(logits.squeeze(1), spurious, states)

    def classify(self, states: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Logits (K, 5) of the classes of objects; see `ObjectHeads.classify`.

        Raises
        ------
        ValueError
            If the network knows nothing of the map.
        """
        if self.objects is None:
            raise ValueError("a network that is told catalogues alone knows no classes")
        return self.objects.classify(states, group, n_groups)


class ObjectHeads(nn.Module):
    """What islands and objects are.

    Parameters
    ----------
    width
        Half of the numbers in the state of an island.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spurious_head = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))
        self.member = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU())
        self.class_head = nn.Sequential(nn.Linear(2 * width + 2, width), nn.SiLU(), nn.Linear(width, len(CLASS_NAMES)))

    def forward(self, states: Tensor) -> Tensor:
        """Log-odds (I,) that islands are artefacts."""
        logits: Tensor = self.spurious_head(states)
        return logits.squeeze(1)

    def classify(self, states: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Logits (K, 5) of the classes of objects, in the order of ``CLASS_NAMES``.

        Parameters
        ----------
        states
            (I, 2 H) of `GraphOutputs`.
        group
            (I,) object 0 ... K - 1 of each island; -1 for islands of none.
        n_groups
            K; each must have an island.
        """
        rows = torch.nonzero(group >= 0)[:, 0]
        members, owner = self.member(states[rows]), group[rows]
        count = torch.zeros(n_groups, dtype=members.dtype, device=members.device).index_add(
            0, owner, torch.ones_like(owner, dtype=members.dtype)
        )
        none = members.new_zeros((n_groups, members.shape[1]))
        mean = none.index_add(0, owner, members) / count.clamp(min=1.0)[:, None]
        spread = owner[:, None].expand_as(members)
        largest = none.scatter_reduce(0, spread, members, reduce="amax", include_self=False)
        several = (count >= 2).to(members.dtype)
        told = torch.stack([torch.log2(count.clamp(min=1.0)), several], dim=1)
        logits: Tensor = self.class_head(torch.cat([mean, largest, told], dim=1))
        return logits


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
