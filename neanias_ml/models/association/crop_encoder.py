"""`CropEncoder`: what a network makes of the map around an island."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neanias_ml.datasets.graph_crop_values import STEPS_PER_ASINH

NEAR_CHANNELS = 2
"""Signal to noise and which island, of the square that holds the island."""
CROPS_AT_A_TIME = 2048
"""The maps of so many crops take some two hundred megabytes."""


class CropEncoder(nn.Module):
    """Two small convolutional networks, one for the island and one for its surroundings.

    Parameters
    ----------
    widths
        Channels of the three convolutions of each; the second and third halve the crop.
    features
        Numbers that come out for each island.
    """

    def __init__(self, widths: tuple[int, int, int], *, features: int) -> None:
        super().__init__()
        self.near = _convolutions(NEAR_CHANNELS, widths)
        self.far = _convolutions(1, widths)
        self.out = nn.Linear(4 * widths[-1], features)

    def forward(self, crops: Tensor) -> Tensor:
        """(I, F) numbers of islands from their crops (I, 3, S, S) int8; in evaluation mode some thousands at a time."""
        if self.training or len(crops) <= CROPS_AT_A_TIME:
            return self._encoded(crops)
        return torch.cat([self._encoded(part) for part in crops.split(CROPS_AT_A_TIME)])

    def _encoded(self, crops: Tensor) -> Tensor:
        values = crops.float()
        # of signal to noise, the steps around the detection limit matter as much as all above
        heights, island = values[:, [0, 2]] / STEPS_PER_ASINH, values[:, 1:2]
        near = _pooled(self.near(torch.cat([heights[:, :1], island], dim=1)))
        far = _pooled(self.far(heights[:, 1:]))
        result: Tensor = self.out(torch.cat([near, far], dim=1))
        return result


def _convolutions(inputs: int, widths: tuple[int, int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in zip(widths, (1, 2, 2), strict=True):
        layers += [nn.Conv2d(inputs, width, 3, stride=stride, padding=1), nn.GroupNorm(4, width), nn.SiLU()]
        inputs = width
    return nn.Sequential(*layers)


def _pooled(maps: Tensor) -> Tensor:
    """Mean and largest value of each channel."""
    return torch.cat([functional.adaptive_avg_pool2d(maps, 1), functional.adaptive_max_pool2d(maps, 1)], 1).flatten(1)
