"""Losses of the region heads. All return a finite scalar, also for zero regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss


def effective_number_weights(counts: Sequence[int], *, beta: float = 0.999) -> tuple[float, ...]:
    """Class-balanced weights from the number of examples per class, scaled to a mean of one.

    A class with ``n`` examples weighs (1 - beta) / (1 - beta^n); classes without examples get the weight of one
    example. Cui et al. 2019 (arXiv:1901.05555), equation 4.

    Raises
    ------
    ValueError
        If ``counts`` is empty or a count is negative, or ``beta`` is outside [0, 1).
    """
    if not counts or min(counts) < 0 or not 0 <= beta < 1:
        raise ValueError(f"needs non-negative counts and 0 <= beta < 1, got {counts} and {beta}")
    raw = [(1 - beta) / (1 - beta ** max(count, 1)) for count in counts]
    return tuple(weight * len(raw) / sum(raw) for weight in raw)


def class_loss(logits: Tensor, labels: Tensor, *, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Weighted cross-entropy of (R, 6) logits and (R,) labels, divided by the sum of the regions' weights."""
    summed = functional.cross_entropy(logits, labels, weight=weights, reduction="sum", label_smoothing=smoothing)
    return summed / weights[labels].sum().clamp(min=1e-6)


def box_loss(deltas: Tensor, targets: Tensor, *, n_regions: int) -> Tensor:
    """Smooth L1 of (P, 4) encoded boxes of the positive regions, per sampled region."""
    summed = functional.smooth_l1_loss(deltas, targets, beta=1 / 9, reduction="sum")
    return summed / max(n_regions, 1)


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy plus mean Dice loss of (P, M, M) masks; targets in [0, 1].

    Dice: V-Net, Milletari et al. 2016, with squared terms in the denominator.
    """
    if len(logits) == 0:
        return logits.sum() * 0
    entropy = functional.binary_cross_entropy_with_logits(logits, targets)
    predicted = logits.sigmoid().flatten(1)
    truth = targets.flatten(1)
    overlap = (predicted * truth).sum(dim=1)
    dice = 1 - (2 * overlap + 1) / (predicted.square().sum(dim=1) + truth.square().sum(dim=1) + 1)
    return entropy + dice.mean()


def artefact_loss(logits: Tensor, spurious: Tensor, *, gamma: float) -> Tensor:
    """Mean focal loss (Lin et al. 2017, without class balance) of (R,) logits; ``spurious`` is boolean (R,)."""
    summed = sigmoid_focal_loss(logits, spurious.to(logits.dtype), alpha=-1, gamma=gamma, reduction="sum")
    return torch.as_tensor(summed / max(len(logits), 1))
