"""The scan of all item vectors, in a precision that reads fewer bytes: the best items of it are scored again."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Precision = Literal["fp32", "fp16", "int8"]

_ZERO = 128
"""The code of zero."""

_MOST = 127

_SIZES = (64, 32, 16)
"""Components that share a step; ONNX Runtime's product needs one of these sizes."""

_ROWS = 65_536
"""Items at a time, where a copy of all of them would not fit into memory."""

_ACCURACY = 4
"""ONNX Runtime computes the product with integers: the query has codes as well."""


class Scan(nn.Module):
    """Item vectors in fp16, or as codes of one byte.

    Args:
        vectors: float16 [n + 1, D]; or codes uint8 [n + 1, D / size, size], 128 being zero.
        steps: float32 [n + 1, D / size], by which the codes' distance from zero is multiplied; ``None`` for fp16.
    """

    def __init__(self, vectors: Tensor, steps: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.vectors: Tensor
        self.register_buffer("steps", steps)
        self.steps: Tensor | None

    def forward(self, queries: Tensor, first: int, last: int) -> Tensor:
        """Approximate products of queries float32 [B, D] with the items ``first`` to ``last``, float32 [B, rows]."""
        if self.steps is None:
            return products(queries.to(self.vectors.dtype), part(self.vectors, first, last)).float()
        codes, steps = part(self.vectors, first, last), part(self.steps, first, last)
        if torch.compiler.is_exporting():
            return torch.onnx.ops.symbolic(
                "com.microsoft::MatMulNBits",
                (queries, codes, steps),
                {
                    "K": queries.shape[1],
                    "N": last - first,
                    "bits": 8,
                    "block_size": codes.shape[2],
                    "accuracy_level": _ACCURACY,
                },
                dtype=torch.float32,
                shape=(queries.shape[0], last - first),
                version=1,
            )
        queries = _dequantised(*_quantised(queries, codes.shape[2]))
        rows = zip(torch.split(codes, _ROWS), torch.split(steps, _ROWS), strict=True)
        return torch.cat([products(queries, _dequantised(*some)) for some in rows], dim=1)


def scan_of(vectors: Tensor, precision: Precision) -> Scan | None:
    """The item vectors as they are scanned; ``None`` for fp32, whose scan reads ``vectors`` themselves.

    Args:
        vectors: float32 [n + 1, D].
        precision: of the scan.
    """
    if precision == "fp32":
        return None
    if precision == "fp16":
        return Scan(vectors.half())
    dimension = vectors.shape[1]
    size = next((size for size in _SIZES if dimension % size == 0), _SIZES[-1])
    codes, steps = zip(*(_quantised(some, size) for some in torch.split(vectors, _ROWS)), strict=True)
    return Scan(torch.cat(codes), torch.cat(steps))


def products(queries: Tensor, vectors: Tensor) -> Tensor:
    """Products of queries [B, D] and items [n, D]: [B, n]."""
    # Not queries @ vectors.T: the exporter would compute the transpose of constant vectors, which is a second copy.
    return (vectors @ queries.T).T


def part(vectors: Tensor, first: int, last: int) -> Tensor:
    """The rows ``first`` to ``last``; all of them as they are, without an operation that selects them."""
    return vectors if (first, last) == (0, len(vectors)) else vectors[first:last]


def _quantised(vectors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Codes [n, D / size, size] and steps [n, D / size]; the last components are padded with zeros."""
    padded = functional.pad(vectors, (0, -vectors.shape[1] % size))
    tiled = padded.view(len(vectors), -1, size)
    steps = tiled.abs().amax(2) / _MOST
    return ((tiled / steps.clamp_min(1e-12).unsqueeze(2)).round() + _ZERO).to(torch.uint8), steps


def _dequantised(codes: Tensor, steps: Tensor) -> Tensor:
    return ((codes.float() - _ZERO) * steps.unsqueeze(2)).flatten(1)
