"""Cutouts as batches of the morphology network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neanias_ml.datasets.cutout_store import MorphologyCutout
from neanias_ml.models.morphology.inputs import cutout_inputs
from neanias_ml.training.draw_dataset import DrawDataset
from neanias_ml.training.morphology.feed import CutoutFeedConfig
from neanias_ml.training.morphology.variation import vary


class CutoutSample(NamedTuple):
    """One object ready for the network."""

    image: Tensor
    """(3, F, F) float32"""
    scalars: Tensor
    """(23,) float32"""
    label: int
    """index in ``MORPHOLOGY_NAMES``"""
    untold: bool
    """whether an FR-I label may mean a bent galaxy"""


class CutoutBatch(NamedTuple):
    """Samples, stacked."""

    images: Tensor
    """(B, 3, F, F) float32, channels last in memory"""
    scalars: Tensor
    """(B, 23) float32"""
    labels: Tensor
    """(B,) int64"""
    untold: Tensor
    """(B,) bool"""


class CutoutDataset(DrawDataset[CutoutSample]):
    """Cutouts as samples of the network, varied at random when training.

    Parameters
    ----------
    cutouts
        Cutouts, in memory or read one by one (`neanias_ml.datasets.cutout_store.CutoutStore`).
    labels
        (N,) index of the class of each.
    untold
        (N,) whether labels do not tell bent galaxies from FR-I ones.
    feed
        How cutouts are varied; None leaves them as they are.
    seed
        Seed of the variation.
    """

    def __init__(
        self,
        cutouts: Sequence[MorphologyCutout],
        labels: NDArray[np.int64],
        untold: NDArray[np.bool_],
        *,
        feed: CutoutFeedConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(cutouts, is_varied=feed is not None, seed=seed)
        self.cutouts = cutouts
        self.labels = labels
        self.untold = untold
        self.feed = feed

    def sample(self, row: int, rng: np.random.Generator | None) -> CutoutSample:
        """See `DrawDataset.sample`."""
        cutout = self.cutouts[row]
        if self.feed is not None and rng is not None:
            cutout = vary(cutout, rng, self.feed)
        inputs = cutout_inputs(cutout)
        return CutoutSample(
            image=torch.from_numpy(inputs.image),
            scalars=torch.from_numpy(inputs.scalars),
            label=int(self.labels[row]),
            untold=bool(self.untold[row]),
        )


def collate(samples: Sequence[CutoutSample]) -> CutoutBatch:
    """Stack samples into a batch."""
    images = torch.stack([sample.image for sample in samples])
    return CutoutBatch(
        images=images.contiguous(memory_format=torch.channels_last),
        scalars=torch.stack([sample.scalars for sample in samples]),
        labels=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
        untold=torch.tensor([sample.untold for sample in samples], dtype=torch.bool),
    )
