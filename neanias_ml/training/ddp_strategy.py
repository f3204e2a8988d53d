"""`AnyDeviceDDP`: Lightning's ddp with synchronised batch normalisation on processors as well as on GPUs."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from neanias_ml.training.batch_norm import synchronise_batch_norm


class AnyDeviceDDP(DDPStrategy):
    """Gloo on processors, NCCL on GPUs.

    Parameters
    ----------
    sync_batch_norm
        Batch statistics over all processes.
    """

    def __init__(self, *, sync_batch_norm: bool = True) -> None:
        super().__init__()
        self._sync_batch_norm = sync_batch_norm

    def setup(self, trainer: Any) -> None:
        """Prepare the module before it is wrapped."""
        if self._sync_batch_norm and self.world_size > 1:
            if self.root_device.type == "cuda":
                # PyTorch's own has kernels for GPUs, and for GPUs only
                self.lightning_module.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.lightning_module.model)
            else:
                synchronise_batch_norm(self.lightning_module, sum_over_ranks=_sum_over_ranks)
        super().setup(trainer)


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    torch.distributed.all_reduce(tensor)
    return tensor
