"""Trained weights on disk: ``weights.safetensors``, and ``settings.json`` with what rebuilds the modules."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor

_WEIGHTS, _SETTINGS = "weights.safetensors", "settings.json"

Form = TypeVar("Form", bound=BaseModel)


def save(folder: Path, described: BaseModel, weights: Mapping[str, Tensor]) -> None:
    """Write both files.

    Args:
        folder: created where it is missing.
        described: sizes and settings of the modules.
        weights: name -> tensor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / _WEIGHTS)
    (folder / _SETTINGS).write_text(described.model_dump_json(indent=1))


def load(folder: Path, described: type[Form]) -> tuple[Form, dict[str, Tensor]]:
    """Read what :func:`save` wrote."""
    return described.model_validate_json((folder / _SETTINGS).read_bytes()), load_file(folder / _WEIGHTS)


def under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix.``, by the rest of their names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}
