"""Does the ONNX model say what the PyTorch model says?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from winnow.errors import WinnowError
from winnow.signatures import BATCH, CANDIDATES, FRESH, ModelSignature

SIZES = (
    {BATCH: 1, CANDIDATES: 7, FRESH: 1},
    {BATCH: 3, CANDIDATES: 64, FRESH: 5},
    {BATCH: 32, CANDIDATES: 100, FRESH: 64},
)
"""Every model is compared at each of these sizes of its free dimensions."""

AGREEMENT = 0.99
"""Share of integer outputs that must be equal. Not all: rounding may swap the places of two items of equal score."""


class ParityError(WinnowError):
    """An exported model differs from its PyTorch original."""


@dataclass(frozen=True)
class ParityRow:
    """How one exported model compares with its original.

    Attributes:
        model: the model's name.
        outputs: names of its outputs.
        difference: largest absolute difference of a float output.
        bound: what ``difference`` may be at most.
        agreement: share of equal values among the integer outputs; 1 where there are none.
        megabytes: size of the ONNX file.
    """

    model: str
    outputs: tuple[str, ...]
    difference: float
    bound: float
    agreement: float
    megabytes: float


def measure(
    module: nn.Module, path: Path, signature: ModelSignature, samples: Mapping[str, Tensor], bound: float
) -> ParityRow:
    """Compare a module with its ONNX file in ONNX Runtime on the CPU.

    Args:
        module: in evaluation mode.
        path: the ONNX file.
        signature: names and dimensions of the tensors.
        samples: input name -> real inputs; they are repeated or cut to each of ``SIZES``.
        bound: largest absolute difference a float output may show.

    Raises:
        ParityError: a value differs by more than ``bound``, integers agree less than ``AGREEMENT``, or a shape or type
            is not the original's.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = tuple(output.name for output in signature.outputs)
    difference, equal, integers = 0.0, 0, 0
    for sizes in SIZES:
        inputs = resized(signature, samples, sizes)
        with torch.inference_mode():
            result = module(*inputs.values())
        expected = [result] if isinstance(result, Tensor) else list(result)
        served = session.run(list(names), {name: tensor.numpy() for name, tensor in inputs.items()})
        for name, original, exported in zip(names, (tensor.numpy() for tensor in expected), served, strict=True):
            _same_form(signature.name, name, original, exported)
            if np.issubdtype(original.dtype, np.integer):
                equal += int((original == exported).sum())
                integers += original.size
            else:
                difference = max(difference, float(np.abs(original - exported).max(initial=0)))
    agreement = equal / integers if integers else 1.0
    if not difference <= bound:  # a NaN is no parity either
        raise ParityError(
            f"{signature.name}: ONNX Runtime differs from PyTorch by {difference:.3g}, more than {bound:.3g}: "
            "not exported; look for an operator that the exporter translates differently"
        )
    if agreement < AGREEMENT:
        raise ParityError(
            f"{signature.name}: only {agreement:.2%} of ONNX Runtime's integer outputs equal PyTorch's, "
            f"less than {AGREEMENT:.0%}: the model is not exported"
        )
    return ParityRow(signature.name, names, difference, bound, agreement, path.stat().st_size / 1e6)


def resized(signature: ModelSignature, samples: Mapping[str, Tensor], sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """The samples, in the signature's order, with each free dimension cut or repeated to a size.

    Raises:
        WinnowError: the samples are not the signature's inputs.
    """
    if samples.keys() != {spec.name for spec in signature.inputs}:
        raise WinnowError(
            f"{signature.name} takes {[spec.name for spec in signature.inputs]}, the samples are {sorted(samples)}"
        )
    inputs = {}
    for spec in signature.inputs:
        tensor = samples[spec.name]
        for axis, dim in enumerate(spec.dims):
            if dim in sizes:
                tensor = tensor.index_select(axis, torch.arange(sizes[str(dim)]) % tensor.shape[axis])
        inputs[spec.name] = tensor
    return inputs


def _same_form(model: str, output: str, original: NDArray[np.generic], exported: NDArray[np.generic]) -> None:
    if original.shape != exported.shape or original.dtype != exported.dtype:
        raise ParityError(
            f"{model}: output {output} is {exported.dtype} {exported.shape} in ONNX Runtime, "
            f"{original.dtype} {original.shape} in PyTorch: the model is not exported"
        )
