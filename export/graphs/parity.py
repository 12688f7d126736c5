"""Parity of an exported model: ONNX Runtime's outputs compared with PyTorch's.

Items of equal score have no defined order in PyTorch, and rounding decides between nearly equal scores. Lists of items
are therefore compared by the score of each item, not by position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graphs.session import open_session
from winnow.errors import WinnowError
from winnow.signatures import BATCH, CANDIDATES, NEW_ITEMS, ModelSignature

SIZES = (
    {BATCH: 1, CANDIDATES: 7, NEW_ITEMS: 1},
    {BATCH: 3, CANDIDATES: 64, NEW_ITEMS: 5},
    {BATCH: 32, CANDIDATES: 100, NEW_ITEMS: 64},
)
"""Every model is compared at each of these sizes of its free dimensions."""

LISTS = {"candidates": "candidate_scores"}
"""Outputs that are lists of items, best first -> the output with their scores. Other integers must be equal."""


class ParityError(WinnowError):
    """An exported model differs from its PyTorch original."""


@dataclass(frozen=True)
class ParityRow:
    """How one exported model compares with its original.

    Attributes:
        model: the model's name.
        outputs: names of its outputs.
        difference: largest absolute difference of a float output.
        bound: largest accepted ``difference``.
        megabytes: size of the ONNX file.
    """

    model: str
    outputs: tuple[str, ...]
    difference: float
    bound: float
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
        bound: largest accepted absolute difference of a float output.

    Raises:
        ParityError: a value differs by more than ``bound``, a list names other items than the original's (but for
            items within ``bound`` of each other), other integers differ, or a shape or type is not the original's.
    """
    session = open_session(path)
    names = tuple(output.name for output in signature.outputs)
    difference = 0.0
    for sizes in SIZES:
        inputs = resized(signature, samples, sizes)
        with torch.inference_mode():
            result = module(*inputs.values())
        originals = [result] if isinstance(result, Tensor) else list(result)
        expected = dict(zip(names, (tensor.numpy() for tensor in originals), strict=True))
        answers = session.run(list(names), {name: tensor.numpy() for name, tensor in inputs.items()})
        served = dict(zip(names, answers, strict=True))
        for name in names:
            _same_form(signature.name, name, expected[name], served[name])
            if np.issubdtype(expected[name].dtype, np.floating):
                difference = max(difference, float(np.abs(expected[name] - served[name]).max(initial=0)))
        if not difference <= bound:  # refuses NaN as well
            raise ParityError(
                f"{signature.name}: ONNX Runtime differs from PyTorch by {difference:.3g}, more than {bound:.3g}: "
                "not exported; look for an operator that the exporter translates differently"
            )
        for name in names:
            if name in LISTS:
                _same_lists(signature.name, name, expected, served, bound)
            elif np.issubdtype(expected[name].dtype, np.integer) and (expected[name] != served[name]).any():
                raise ParityError(f"{signature.name}: the integers of {name} differ from PyTorch's: not exported")
    return ParityRow(signature.name, names, difference, bound, path.stat().st_size / 1e6)


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


def _same_lists(
    model: str,
    output: str,
    expected: Mapping[str, NDArray[np.generic]],
    served: Mapping[str, NDArray[np.generic]],
    bound: float,
) -> None:
    """Refuse a list in which an item scores otherwise than in the original, or that names other items.

    An item that only one of the two names must lie within ``bound`` of the other's last: the list ends amid its equals.
    """
    scores = LISTS[output]
    rows = zip(expected[output], expected[scores], served[output], served[scores], strict=True)
    for row in rows:
        items, originals, named, exported = (array.tolist() for array in row)
        ours, theirs = dict(zip(items, originals, strict=True)), dict(zip(named, exported, strict=True))
        if len(theirs) != len(named):
            raise ParityError(f"{model}: {output} names an item twice in ONNX Runtime: the model is not exported")
        for item in ours.keys() | theirs.keys():
            one, other = ours.get(item, originals[-1]), theirs.get(item, exported[-1])
            if abs(one - other) > bound:
                named_by = "both" if item in ours and item in theirs else "only one"
                raise ParityError(
                    f"{model}: item {item} of {output}, which {named_by} of PyTorch and ONNX Runtime named, scores "
                    f"{one:.6g} in the one and {other:.6g} in the other, more than {bound:.3g} apart: not exported"
                )
