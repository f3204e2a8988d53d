"""Batch normalisation with the statistics of all processes, on any device and by any library of communication.

PyTorch's own needs GPUs and ``torch.distributed``. With synchronised statistics, n processes with a batch of b each
compute what one process with a batch of n b does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SumOverRanks = Callable[[Tensor], Tensor]
"""Sum of a tensor over all processes."""


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
        weight = self.weight if self.affine else torch.ones(self.num_features, device=input.device)
        bias = self.bias if self.affine else torch.zeros(self.num_features, device=input.device)
        output, mean, variance, count = _Normalise.apply(input, weight, bias, self.eps, self.sum_over_ranks)
        self._update(mean, variance, count)
        return output

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


class _Normalise(torch.autograd.Function):
    """Batch normalisation by PyTorch's fused kernels, with sums over all processes between them.

    Written in terms of elementary operations it would take ten times as long on a processor.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, epsilon: float, sum_over_ranks: SumOverRanks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Output, and mean (C,), variance (C,) and number of values (1,) of all processes."""
        # with momentum 1 the scratch buffers become float32 statistics, whatever the type of the values
        mean, unbiased = torch.zeros_like(weight), torch.ones_like(weight)
        torch.batch_norm_update_stats(values, mean, unbiased, 1.0)
        own = values.numel() / values.shape[1]
        number = torch.full((1,), own, dtype=torch.float64, device=values.device)
        local, spread = mean.double(), unbiased.double() * ((own - 1) / own)
        # moments about zero lose digits where the mean is large: in double precision that does not matter
        sums = sum_over_ranks(torch.cat([number * local, number * (spread + local.square()), number]))
        count, channels = sums[-1:], len(weight)
        mean = (sums[:channels] / count).float()
        variance = (sums[channels:-1] / count - (sums[:channels] / count).square()).clamp(min=0).float()
        context.save_for_backward(values, weight, mean, variance, count)
        context.epsilon, context.sum_over_ranks = epsilon, sum_over_ranks
        context.mark_non_differentiable(mean, variance, count)
        output = functional.batch_norm(values, mean, variance, weight, bias, eps=epsilon)
        return output, mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of values, weight and bias; those of the statistics come from all processes."""
        values, weight, mean, variance, count = context.saved_tensors
        # as if the statistics were constants ...
        direct, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], values, weight, mean, variance, None, None, False, context.epsilon, [True, True, True]
        )
        # ... and what they add, which is linear in the values: slope * values + offset for each channel
        sums = context.sum_over_ranks(torch.cat([by_weight, by_bias]).double())
        inverse = torch.rsqrt(variance.double() + context.epsilon)
        scale = weight.double() * inverse / count
        slope = -scale * inverse * sums[: len(weight)]
        offset = -scale * sums[len(weight) :] - slope * mean.double()
        zero, one = torch.zeros_like(weight), torch.ones_like(weight)
        indirect = functional.batch_norm(values, zero, one, slope.float(), offset.float(), eps=0.0)
        return direct.add_(indirect), by_weight, by_bias, None, None


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
