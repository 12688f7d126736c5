"""The device that training runs on, the precision and the threads of its arithmetic, and compilation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ParamSpec, TypeVar

import torch

from winnow.errors import WinnowError
from winnow.settings.training import ComputeSettings

_GRAIN = 32_768
"""Numbers of an array from which on PyTorch gives an elementwise operation a further thread (its ``GRAIN_SIZE``)."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


def device_of(settings: ComputeSettings) -> torch.device:
    """The device to train on: with ``auto`` the GPU of this process's local rank where there is one.

    Raises:
        WinnowError: ``cuda`` is asked for and PyTorch sees no GPU.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise WinnowError(
            "compute.device is cuda, but PyTorch finds no GPU here. Train on a machine with an NVIDIA GPU and its "
            "driver, or set compute.device to auto or cpu."
        )
    if settings.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def autocast(settings: ComputeSettings, device: torch.device) -> AbstractContextManager[object]:
    """The precision of a forward pass: bfloat16 products on a GPU with ``auto``, float32 otherwise.

    Weights and optimizer states are float32 with both. Losses are computed outside, from float32.
    """
    wanted = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()


def compiled(
    function: Callable[Given, Result], settings: ComputeSettings, dynamic: bool | None = None
) -> Callable[Given, Result]:
    """The function as ``torch.compile`` compiles it at its first calls, where ``compile`` is set.

    Args:
        function: a function or a module.
        settings: whether to compile.
        dynamic: compile at once for tensors of every size; ``None`` leaves it to PyTorch.
    """
    return torch.compile(function, dynamic=dynamic) if settings.compile else function


@contextmanager
def threads_for(numbers: int) -> Iterator[None]:
    """Compute on the CPU with no more threads than operations on arrays of so many numbers keep busy.

    The threads of smaller operations wait for each other longer than they compute, and spin while they wait: a step
    costs twice the processor seconds, and on a busy machine takes many times as long.

    Args:
        numbers: of a typical array of the computation, such as windows x positions x width.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, numbers // _GRAIN)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
