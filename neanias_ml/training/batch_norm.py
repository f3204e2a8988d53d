"""Batch normalisation with the statistics of all processes, on any device and by any library of communication.

PyTorch's own needs GPUs and ``torch.distributed``. With synchronised statistics, n processes with a batch of b each
compute what one process with a batch of n b does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SumOverRanks = Callable[[Tensor], Tensor]
"""Sum of a tensor over all processes, differentiable: the gradient is summed over all processes as well."""


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose batch is that of all processes.

    Parameters
    ----------
    layer
        The layer it takes the place of; parameters and buffers are shared with it, names stay.
    sum_over_ranks
        How processes add up.
    """

    def __init__(self, layer: nn.BatchNorm2d, *, sum_over_ranks: SumOverRanks) -> None:
        super().__init__(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.training = layer.training
        self.sum_over_ranks = sum_over_ranks

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        mean, variance, count = self._statistics(input)
        self._update(mean.detach(), variance.detach(), count)
        # as `batch_norm` in evaluation does it, with gradients through the statistics
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        scale, shift = scale[None, :, None, None], shift[None, :, None, None]
        return (input.float() * scale + shift).to(input.dtype)

    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance (C,) over all processes, and the number of values of a channel."""
        own = values.float()
        mean, variance = own.mean(dim=(0, 2, 3)).double(), own.var(dim=(0, 2, 3), unbiased=False).double()
        number = torch.full((1,), values.numel() / values.shape[1], dtype=torch.float64, device=values.device)
        # moments about zero lose digits where the mean is large: in double precision that does not matter
        sums = self.sum_over_ranks(torch.cat([number * mean, number * (variance + mean.square()), number]))
        count = sums[-1].detach()
        mean, square = sums[: self.num_features] / count, sums[self.num_features : -1] / count
        return mean.float(), (square - mean.square()).clamp(min=0).float(), count

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, the variance without its bias, as PyTorch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        unbiased = variance * (count / (count - 1).clamp(min=1)).to(variance.dtype)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)


def synchronise_batch_norm(module: nn.Module, *, sum_over_ranks: SumOverRanks) -> None:
    """Put `SynchronisedBatchNorm2d` in the place of every ``BatchNorm2d`` within a module."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, SynchronisedBatchNorm2d(child, sum_over_ranks=sum_over_ranks))
        else:
            synchronise_batch_norm(child, sum_over_ranks=sum_over_ranks)


def plain_batch_norm(module: nn.Module) -> nn.Module:
    """The module with a plain ``BatchNorm2d`` in the place of every synchronised one, PyTorch's own included."""
    for name, child in module.named_children():
        setattr(module, name, plain_batch_norm(child))
    if not isinstance(module, SynchronisedBatchNorm2d | nn.SyncBatchNorm):
        return module
    plain = nn.BatchNorm2d(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, device="meta"
    )
    plain.weight, plain.bias = module.weight, module.bias
    plain.running_mean, plain.running_var = module.running_mean, module.running_var
    plain.num_batches_tracked = module.num_batches_tracked
    return plain.train(module.training)
