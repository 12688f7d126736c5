"""Weights of ``winnow-tiny`` by a digest of all that they depend on: the same content is not trained on again.

Training is reproducible, so that kept weights are those that it would have. ``winnow evaluate`` builds a release of the
same catalog, and a nightly build often has the catalog of the night before.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from winnow import files
from winnow.encoders.settings import TinySettings
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.examples import Examples

_RECIPE = 1
"""Version of the training; a change of it changes the weights."""

_FOLDER, _ENDING = "winnow-tiny", ".safetensors"

MOST = 4
"""Files of a folder: those of the latest trainings."""


def key_of(model: nn.Module, examples: Examples, settings: TinySettings, compute: ComputeSettings) -> str:
    """SHA-256, in hexadecimal, of all that the trained weights depend on.

    Args:
        model: as it is before the training.
        examples: what it will be trained on.
        settings: of the training.
        compute: device and precision.
    """
    digest = hashlib.sha256()
    for text in (str(_RECIPE), torch.__version__, settings.model_dump_json(), compute.model_dump_json()):
        digest.update(f"{text}\n".encode())
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    arrays |= {field.name: getattr(examples, field.name) for field in fields(examples)}
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class KeptWeights:
    """Files of weights in a folder, local or on S3; without a folder, none is kept."""

    def __init__(self, root: str) -> None:
        """Open a folder; the first write creates it.

        Args:
            root: a path, or ``s3://bucket/prefix``; empty for none.
        """
        self._folder = files.inside(root, _FOLDER) if root else ""

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The weights of a key; ``None`` where none are kept, or what is kept cannot be read.

        Raises:
            WinnowError: the folder cannot be reached.
        """
        for address in self._listed():
            if address.endswith(f"-{key}{_ENDING}"):
                try:
                    return load(files.read(address))
                except (files.FileMissing, SafetensorError):
                    return None
        return None

    def put(self, key: str, weights: Mapping[str, Tensor]) -> None:
        """Keep weights, and delete those of the trainings before the latest.

        Raises:
            WinnowError: the folder cannot be written.
        """
        if not self._folder:
            return
        # Names sort by time.
        name = f"{time.time_ns() // 1_000_000:014}-{key}{_ENDING}"
        files.write(files.inside(self._folder, name), save(dict(weights)))
        for address in self._listed()[:-MOST]:
            files.delete(address)

    def _listed(self) -> list[str]:
        return files.listed(self._folder, _ENDING) if self._folder else []
