"""The processes of ``torchrun`` that train together."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from winnow.errors import WinnowError
from winnow.settings.training import ComputeSettings
from winnow.training.loop.devices import device_of

_TIMEOUT = timedelta(minutes=30)
"""For what a rank may do between two exchanges, such as reading a checkpoint from S3, while the others wait."""


class Ranks:
    """One process of those that train together, and its exchanges with the others.

    All ranks make the same exchanges in the same order. A process on its own makes none.

    Attributes:
        rank: number of this process, from 0.
        world: number of processes.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world = rank, world

    def share(self, n: int) -> slice:
        """Which of ``n`` things this rank takes: every ``world``-th, so that a list sorted by size is shared evenly."""
        return slice(self.rank, n, self.world)

    @torch.no_grad()
    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over the ranks, with one exchange per dtype.

        Args:
            tensors: on the device of the training; of the same shapes on every rank.
        """
        if self.world == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            for tensor, summed in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(summed.view_as(tensor))

    def sum(self, value: float) -> float:
        """The sum of a number over the ranks."""
        total = torch.tensor(value, dtype=torch.float64)
        self.all_reduce_sum([total])
        return float(total)

    def first(self, value: int) -> int:
        """The value that rank 0 has."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.int64)
        dist.broadcast(shared, src=0)
        return int(shared)

    def agreed(self, answer: bool) -> bool:
        """The answer of rank 0, where the ranks could differ, such as about the time."""
        return bool(self.first(int(answer)))

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.sum(0.0)


@contextmanager
def joined(settings: ComputeSettings) -> Iterator[Ranks]:
    """Join the process group of ``torchrun``; without ``torchrun`` the process is on its own, and needs no group.

    Tensors on a GPU are exchanged with NCCL, others with gloo. The GPU of a process is that of its local rank.
    ``torchrun --max-restarts`` is supported on one machine; on several, each ``torchrun`` must be started again.

    Args:
        settings: which device trains.

    Raises:
        WinnowError: this machine has fewer GPUs than processes.
    """
    if not dist.is_torchelastic_launched():
        yield Ranks()
        return
    local, processes = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if settings.device != "cpu" and torch.cuda.is_available():
        if processes > torch.cuda.device_count():
            raise WinnowError(
                f"torchrun started {processes} processes on this machine, which has {torch.cuda.device_count()} GPUs: "
                "start as many with --nproc-per-node, or set compute.device to cpu."
            )
        torch.cuda.set_device(local)
    device = device_of(settings)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, rank, world = next(rendezvous("env://", timeout=_TIMEOUT))
    if world == processes:
        # torchrun keeps its store when it restarts the processes, and with it the addresses of the ended ones
        # (pytorch/pytorch#135712). On several machines the count of restarts can differ, so all of torchrun restarts.
        store = PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_TIMEOUT)
    try:
        yield Ranks(rank, world)
    finally:
        dist.destroy_process_group()
