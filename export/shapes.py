"""The sizes of an exported graph: what a release fixed, and how far what is free may go."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from export.triton_config import MAX_BATCH
from winnow.errors import WinnowError
from winnow.signatures import BATCH, CANDIDATES, FRESH, SIGNATURES, ModelSignature

Shape = tuple[int | str, ...]
"""A number where the release fixed the dimension, its letter where it is free."""


@dataclass(frozen=True)
class Span:
    """Sizes of a free dimension: an engine takes ``least`` to ``most`` and is tuned for ``usual``."""

    least: int
    usual: int
    most: int


_FREE = {CANDIDATES: Span(1, 512, 2048), FRESH: Span(1, 64, 512)}


def span(signature: ModelSignature, dim: int | str) -> Span:
    """The sizes of one dimension of a model's input."""
    if isinstance(dim, int):
        return Span(dim, dim, dim)
    if dim == BATCH:
        most = MAX_BATCH[signature.name]
        return Span(1, max(1, most // 4), most)
    return _FREE[dim]


def read_shapes(path: Path) -> tuple[ModelSignature, dict[str, Shape]]:
    """Which model an ONNX file is, and the shapes of its inputs.

    Raises:
        WinnowError: the file is no ONNX model, or none of Winnow's.
    """
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except FileNotFoundError:
        raise WinnowError(f"there is no {path}: name the model.onnx of a release") from None
    except Exception as error:  # protobuf's own, by another name in each of its builds
        raise WinnowError(f"{path} is not an ONNX model: {error}") from error
    shapes = {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in graph.input
    }
    for signature in SIGNATURES:
        if list(shapes) == [spec.name for spec in signature.inputs]:
            return signature, shapes
    raise WinnowError(f"{path} takes {sorted(shapes)}: it is none of {', '.join(model.name for model in SIGNATURES)}")
