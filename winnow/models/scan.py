"""The scan of all item vectors, in a precision that reads fewer bytes: the best items of it are scored again."""

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "fp16", "int8"]

_ZERO = 128
"""The code of zero."""

_MOST = 127


def scan_vectors(vectors: Tensor, precision: Precision) -> Tensor | None:
    """The item vectors as they are scanned, [n + 1, D]; ``None`` for fp32, whose scan reads ``vectors`` themselves.

    Codes are uint8, of equal steps between the largest component of all items and its negative, 128 being zero.

    Args:
        vectors: float32 [n + 1, D].
        precision: of the scan.
    """
    if precision == "fp32":
        return None
    if precision == "fp16":
        return vectors.half()
    step = vectors.abs().max().clamp_min(1e-12) / _MOST
    codes = torch.empty(vectors.shape, dtype=torch.uint8)
    for first in range(0, len(vectors), 65_536):
        codes[first : first + 65_536] = (vectors[first : first + 65_536] / step).round() + _ZERO
    return codes


def scanned(queries: Tensor, vectors: Tensor) -> Tensor:
    """Products of queries and items, float32 [B, n + 1]; of codes only their order has a meaning.

    Args:
        queries: float32 [B, D].
        vectors: [n + 1, D]: the item vectors, or :func:`scan_vectors`.
    """
    # Not queries @ vectors.T: the exporter would compute the transpose of constant vectors, which is a second copy.
    if vectors.dtype == torch.uint8:
        codes = (queries * (_MOST / queries.abs().amax(1, keepdim=True).clamp_min(1e-12))).round().to(torch.int8).T
        if torch.compiler.is_exporting():
            operands = (vectors, codes, torch.tensor(_ZERO, dtype=torch.uint8))
            shape = (vectors.shape[0], queries.shape[0])
            return torch.onnx.ops.symbolic("MatMulInteger", operands, dtype=torch.int32, shape=shape).T.float()
        return ((vectors.float() - _ZERO) @ codes.float()).T
    return (vectors @ queries.to(vectors.dtype).T).T.float()
