"""`MorphologyNetwork`: a small residual network over a cutout, joined by the numbers that a frame does not show."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.inputs import CHANNEL_NAMES, SCALAR_NAMES


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016, arXiv:1603.05027), normalised over the batch.

    Parameters
    ----------
    inputs, outputs
        Channels.
    stride
        Of the first convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        nn.init.zeros_(self.second_norm.weight)  # each block starts as its shortcut

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        inner = functional.relu(self.first_norm(self.first(values)))
        inner = self.second_norm(self.second(inner))
        return functional.relu(inner + self.shortcut(values))


class MorphologyNetwork(nn.Module):
    """Logits of the classes of morphology from images and numbers of cutouts; nothing in it is random.

    Parameters
    ----------
    config
        Architecture.
    """

    def __init__(self, config: MorphologyConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(len(CHANNEL_NAMES), first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(*_stages(config))
        self.numbers = nn.Sequential(
            nn.Linear(len(SCALAR_NAMES), config.features),
            nn.ReLU(),
            nn.Linear(config.features, config.features),
            nn.ReLU(),
        )
        self.hidden = nn.Linear(2 * last + config.features, config.features)
        self.head = nn.Linear(config.features, len(MORPHOLOGY_NAMES))

    def forward(self, images: Tensor, scalars: Tensor) -> Tensor:
        """Logits (B, 9) float32 of images (B, 3, F, F) and numbers (B, 23)."""
        if self.config.shrink > 1:
            images = functional.avg_pool2d(images, self.config.shrink)
        maps = self.stages(self.stem(images))
        # the mean tells how much there is of something, the largest value whether there is any
        joined = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3)), self.numbers(scalars)], dim=1)
        logits: Tensor = self.head(functional.relu(self.hidden(joined)))
        return logits.float()


def _stages(config: MorphologyConfig) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    inputs = config.widths[0]
    for stage, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
        for number in range(count):
            blocks.append(ResidualBlock(inputs, width, stride=2 if stage > 0 and number == 0 else 1))
            inputs = width
    return blocks
