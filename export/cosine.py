"""Parity of exported encoders: the cosine between ONNX Runtime's and PyTorch's embeddings, per precision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from export.graphs.parity import ParityError
from export.graphs.variants import Precision
from winnow.release import sha256
from winnow.signatures import ModelSignature

_BATCHES = (1, 3, 32)
"""Sizes of the first batches; all further batches have the last one."""


@dataclass(frozen=True)
class Bound:
    """The least cosine of a variant's embeddings to PyTorch's.

    Attributes:
        mean: over all inputs.
        worst: of each input; 0 where only the mean counts.
    """

    mean: float
    worst: float


BOUNDS: dict[Precision, Bound] = {
    "fp32": Bound(mean=0.9999, worst=0.9999),
    "fp16": Bound(mean=0.999, worst=0.999),
    "int8": Bound(mean=0.99, worst=0),
}


class EncoderRow(BaseModel):
    """How one variant of an encoder compares with its original.

    Attributes:
        model: the model's name.
        precision: the variant.
        mean: cosine of its embedding to PyTorch's, over the inputs.
        worst: the smallest of these cosines.
        inputs: number of real inputs compared.
        megabytes: size of the file.
        sha256: of the file that the figures describe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    precision: Precision
    mean: float
    worst: float
    inputs: int
    megabytes: float
    sha256: str

    @property
    def holds(self) -> bool:
        """Whether the variant may be served: its cosines reach ``BOUNDS``."""
        bound = BOUNDS[self.precision]
        return self.mean >= bound.mean and self.worst >= bound.worst

    def __str__(self) -> str:
        verdict = "" if self.holds else "; below its bound, not to be served"
        figures = f"{self.model} {self.precision}: cosine to PyTorch {self.mean:.5f} (worst {self.worst:.5f})"
        return f"{figures}, {self.megabytes:.1f} MB{verdict}"


def original_vectors(module: nn.Module, samples: NDArray[Any]) -> NDArray[np.float32]:
    """PyTorch's embeddings, float32 [n, D]."""
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(part)).numpy() for part in _batches(samples)])


def exported_vectors(path: Path, signature: ModelSignature, samples: NDArray[Any]) -> NDArray[np.float32]:
    """ONNX Runtime's embeddings on the CPU, float32 [n, D]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given, returned = signature.inputs[0].name, [signature.outputs[0].name]
    return np.concatenate([session.run(returned, {given: part})[0] for part in _batches(samples)])


def compare(
    original: NDArray[np.float32], path: Path, signature: ModelSignature, precision: Precision, samples: NDArray[Any]
) -> EncoderRow:
    """Compare a variant's embeddings with the original ones.

    Args:
        original: PyTorch's embeddings of ``samples``, float32 [n, D], of unit length.
        path: the variant's file.
        signature: names of its tensors.
        precision: which variant it is.
        samples: real inputs, [n, ...].

    Raises:
        ParityError: the embeddings have another shape or length, or the fp32 variant is below its bound. The caller
            decides about a smaller variant that is too coarse.
    """
    exported = exported_vectors(path, signature, samples)
    if exported.shape != original.shape or exported.dtype != original.dtype:
        raise ParityError(
            f"{signature.name} ({precision}): embeddings are {exported.dtype} {exported.shape} in ONNX Runtime, "
            f"{original.dtype} {original.shape} in PyTorch: the encoder is not exported"
        )
    lengths = np.linalg.norm(exported, axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise ParityError(
            f"{signature.name} ({precision}): embeddings have lengths from {lengths.min():.4g} to {lengths.max():.4g}, "
            "not 1: the module must end with a normalisation"
        )
    cosines = (exported / lengths[:, None] * original).sum(axis=1, dtype=np.float64)
    row = EncoderRow(
        model=signature.name,
        precision=precision,
        mean=float(cosines.mean()),
        worst=float(cosines.min()),
        inputs=len(samples),
        megabytes=path.stat().st_size / 1e6,
        sha256=sha256(path),
    )
    if not row.holds and precision == "fp32":
        bound = BOUNDS[precision]
        raise ParityError(
            f"{signature.name} ({precision}): cosine to PyTorch's embeddings is {row.mean:.5f} on average and "
            f"{row.worst:.5f} at worst over {len(samples)} inputs; {bound.mean:g} and {bound.worst:g} are asked for: "
            "not exported"
        )
    return row


def _batches(samples: NDArray[Any]) -> list[NDArray[Any]]:
    ends = np.cumsum(_BATCHES[:-1])
    ends = np.concatenate([ends, np.arange(ends[-1] + _BATCHES[-1], len(samples), _BATCHES[-1])])
    return [part for part in np.split(samples, ends) if len(part)]
