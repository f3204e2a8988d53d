"""`HorovodStrategy`: Lightning's trainer on Horovod, which Lightning itself no longer knows.

Horovod: Sergeev and Del Balso 2018 (arXiv:1802.05799). The processes come from ``horovodrun`` or ``mpirun``; each has
one device. Gradients are averaged while they are still being computed; everything else (clipping, schedules, moving
averages) then sees the gradients of the whole batch, so that a run behaves as it does under ddp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.fabric.utilities.distributed import ReduceOp
from lightning.pytorch.strategies.parallel import ParallelStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from neanias_ml.errors import UsageError
from neanias_ml.training.batch_norm import synchronise_batch_norm
from neanias_ml.training.strategy import mpi_processes

_SUMS = (ReduceOp.SUM, "sum")
_MEANS = (None, ReduceOp.AVG, "avg", "mean")


def require_horovod() -> Any:
    """The module ``horovod.torch``.

    Raises
    ------
    UsageError
        ``HorovodMissing`` if it is not installed or was built against another PyTorch.
    """
    try:
        import horovod.torch as hvd
    except (ImportError, OSError) as error:
        raise UsageError(
            "HorovodMissing",
            f"Horovod cannot be loaded ({' '.join(str(error).split())[:200]}); build it against this PyTorch with "
            "'make horovod', or train with --fit.strategy ddp",
        ) from error
    return hvd


class HorovodEnvironment(ClusterEnvironment):
    """Ranks as Horovod counts them; the launcher has started all processes."""

    def __init__(self) -> None:
        self._hvd = require_horovod()
        self._hvd.init()

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Horovod knows its peers itself."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Not used."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Never chosen by Lightning: `neanias_ml.training.strategy` does."""
        return False

    def world_size(self) -> int:
        """Number of processes."""
        return int(self._hvd.size())

    def set_world_size(self, size: int) -> None:
        """Fixed by the launcher."""

    def global_rank(self) -> int:
        """Number of this process."""
        return int(self._hvd.rank())

    def set_global_rank(self, rank: int) -> None:
        """Fixed by the launcher."""

    def local_rank(self) -> int:
        """Number of this process on its node."""
        return int(self._hvd.local_rank())

    def node_rank(self) -> int:
        """Number of the node."""
        return int(self._hvd.cross_rank())


class HorovodStrategy(ParallelStrategy):
    """One process per device, gradients averaged by Horovod's ``DistributedOptimizer``.

    Parameters
    ----------
    accumulate
        Batches per step: that many backward passes before gradients are sent.
    compression
        ``fp16`` sends gradients in half precision.
    sync_batch_norm
        Batch statistics over all processes.

    Raises
    ------
    UsageError
        ``HorovodMissing``, ``HorovodWithoutMPI``.
    """

    strategy_name = "horovod"
    is_distributed = True  # asked by Lightning of strategies it does not know

    def __init__(self, *, accumulate: int = 1, compression: str = "none", sync_batch_norm: bool = True) -> None:
        super().__init__(cluster_environment=HorovodEnvironment())
        self._hvd = require_horovod()
        self._require_the_launchers_world()
        rank_zero_only.rank = self.global_rank  # Lightning's loggers write on the first process alone
        self._accumulate = accumulate
        self._compression = _layout_keeping(getattr(self._hvd.Compression, compression))
        self._sync_batch_norm = sync_batch_norm

    def _require_the_launchers_world(self) -> None:
        """Without MPI of its own, Horovod takes every process of ``mpirun`` for the only one."""
        started = mpi_processes()
        if self.world_size == 1 and started > 1:
            raise UsageError(
                "HorovodWithoutMPI",
                f"mpirun has started {started} processes, but Horovod was built without MPI and sees one; start them "
                "with horovodrun, or build Horovod again where mpicxx is on the path (make horovod)",
            )

    @property
    def root_device(self) -> torch.device:
        """The device of this process."""
        assert self.parallel_devices
        # a GPU is named by its number on the node; processors have one device each
        return self.parallel_devices[0]

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Place of this process."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    def model_to_device(self) -> None:
        """Move the module to the device of this process."""
        assert self.model is not None
        self.model.to(self.root_device)

    def setup(self, trainer: Any) -> None:
        """Prepare module and optimiser; all processes begin with the weights of the first."""
        if self._sync_batch_norm and self.world_size > 1:
            synchronise_batch_norm(self.lightning_module, sum_over_ranks=self._sum_over_ranks)
        super().setup(trainer)
        # after super: on the device, where NCCL needs it
        _broadcast_tensors(self._hvd, dict(self.lightning_module.state_dict()), prefix="module")

    def setup_optimizers(self, trainer: Any) -> None:
        """Make the optimisers and let Horovod average their gradients."""
        super().setup_optimizers(trainer)
        named = list(self.lightning_module.named_parameters())
        for number, plain in enumerate(self.optimizers):
            wrapped = self._hvd.DistributedOptimizer(
                plain,
                named_parameters=named,
                compression=self._compression,
                backward_passes_per_step=self._accumulate,
            )
            self.optimizers[number] = wrapped
            for config in self.lr_scheduler_configs:
                if config.scheduler.optimizer is plain:
                    config.scheduler.optimizer = wrapped

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        """State from a checkpoint; that of the first process holds for all."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            _broadcast_optimizer_state(self._hvd, optimizer)

    def optimizer_step(self, optimizer: Any, closure: Callable[[], Any], model: Any = None, **kwargs: Any) -> Any:
        """Step once the averaged gradients have arrived, and clip those."""

        def synchronised() -> Any:
            result = closure()
            optimizer.synchronize()
            return result

        with optimizer.skip_synchronize():
            return super().optimizer_step(optimizer, synchronised, model, **kwargs)

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Mean or sum over all processes."""
        if not isinstance(tensor, Tensor):
            return tensor
        if reduce_op not in (*_SUMS, *_MEANS):
            raise ValueError(f"Horovod reduces by mean or sum here, not by {reduce_op!r}")
        # an average of integers would be cut
        exact = tensor if tensor.is_floating_point() or reduce_op in _SUMS else tensor.float()
        op = self._hvd.Sum if reduce_op in _SUMS else self._hvd.Average
        return self._hvd.allreduce(exact.detach().contiguous(), op=op)

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """(world_size, ...) tensors of all processes."""
        gathered: Tensor = self._hvd.allgather(tensor.unsqueeze(0).contiguous())
        return gathered if sync_grads else gathered.detach()

    def barrier(self, name: str | None = None) -> None:
        """Wait for all processes."""
        if self._hvd.is_initialized():
            self._hvd.barrier()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """An object of one process for all."""
        return self._hvd.broadcast_object(obj, root_rank=src)

    def _sum_over_ranks(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self._hvd.allreduce(tensor, op=self._hvd.Sum)
        return summed


def _broadcast_tensors(hvd: Any, tensors: dict[str, Tensor], *, prefix: str) -> None:
    """Give all processes the tensors of the first one, in place, whatever their memory layout."""
    with torch.no_grad():
        sent = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
        handles = [hvd.broadcast_async_(sent[name], root_rank=0, name=f"{prefix}.{name}") for name in sent]
        for handle in handles:
            hvd.synchronize(handle)
        for name, tensor in tensors.items():
            if sent[name] is not tensor:
                tensor.copy_(sent[name])


def _broadcast_optimizer_state(hvd: Any, optimizer: Any) -> None:
    """Give all processes the tensors and numbers of the first one's optimiser.

    Horovod's own function rebuilds the optimiser's state by a step with zero gradients, which moves decayed weights.
    """
    state = optimizer.state_dict()
    slots = {
        f"{number}.{name}": value
        for number, held in state["state"].items()
        for name, value in held.items()
        if isinstance(value, Tensor)
    }
    _broadcast_tensors(hvd, slots, prefix="optimizer")
    groups = hvd.broadcast_object([{k: v for k, v in g.items() if k != "params"} for g in state["param_groups"]])
    for own, given in zip(optimizer.param_groups, groups, strict=True):
        own.update(given)


def _layout_keeping(compression: Any) -> Any:
    """A compression for gradients of any memory layout: Horovod itself sends contiguous ones only."""

    class LayoutKeeping:
        @staticmethod
        def compress(tensor: Tensor) -> tuple[Tensor, Any]:
            sent, context = compression.compress(tensor.contiguous())
            return sent, (context, tensor)

        @staticmethod
        def decompress(tensor: Tensor, context: Any) -> Tensor:
            inner, original = context
            received: Tensor = compression.decompress(tensor, inner)
            return received if original.is_contiguous() else torch.empty_like(original).copy_(received)

    return LayoutKeeping
