"""The device that training runs on, and the precision of its arithmetic."""

from contextlib import AbstractContextManager

import torch

from winnow.errors import WinnowError
from winnow.settings.training import ComputeSettings


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


def autocast(settings: ComputeSettings, device: torch.device) -> AbstractContextManager[None]:
    """The precision of a forward pass: bfloat16 products on a GPU with ``auto``, float32 otherwise."""
    wanted = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)
