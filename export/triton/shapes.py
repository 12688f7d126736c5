"""The sizes of an exported graph: dimensions that a release fixes, and the ranges of the free ones."""

from dataclasses import dataclass
from pathlib import Path

from export.graphs.session import open_session
from export.triton.config import MAX_BATCH, Shape, Shapes
from winnow.errors import WinnowError
from winnow.signatures import BATCH, CANDIDATES, NEW_ITEM_LIMIT, NEW_ITEMS, SIGNATURES, ModelSignature


@dataclass(frozen=True)
class Span:
    """Sizes of a free dimension: an engine takes ``least`` to ``most`` and is tuned for ``usual``."""

    least: int
    usual: int
    most: int


_FREE = {CANDIDATES: Span(1, 512, 2048), NEW_ITEMS: Span(1, 64, NEW_ITEM_LIMIT)}


def span(signature: ModelSignature, dim: int | str) -> Span:
    """The sizes of one dimension of a model's input."""
    if isinstance(dim, int):
        return Span(dim, dim, dim)
    if dim == BATCH:
        most = MAX_BATCH[signature.name]
        return Span(1, max(1, most // 4), most)
    return _FREE[dim]


def read_shapes(path: Path) -> dict[str, Shape]:
    """The shapes of an ONNX file's inputs, then of its outputs.

    They include the numbers that ONNX Runtime infers, because Triton's backend compares these with ``config.pbtxt``.

    Raises:
        WinnowError: the file is missing or is not an ONNX model.
    """
    if not path.is_file():
        raise WinnowError(f"there is no {path}: name the model.onnx of a release")
    try:
        session = open_session(path)
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        raise WinnowError(f"{path} is not an ONNX model: {error}") from error
    tensors = (*session.get_inputs(), *session.get_outputs())
    return {tensor.name: tuple("?" if dim is None else dim for dim in tensor.shape) for tensor in tensors}


def signature_of(path: Path, shapes: Shapes) -> ModelSignature:
    """The model of a graph, by the names of its tensors.

    Raises:
        WinnowError: it is not one of Winnow's.
    """
    for signature in SIGNATURES:
        if list(shapes) == [spec.name for spec in (*signature.inputs, *signature.outputs)]:
            return signature
    names = ", ".join(model.name for model in SIGNATURES)
    raise WinnowError(f"{path} has the tensors {', '.join(shapes)}: it is none of {names}")


def check_shapes(signature: ModelSignature, shapes: Shapes) -> None:
    """Refuse a graph whose configuration Triton would refuse: a release fixes every dimension but batch, N and F.

    Raises:
        WinnowError: a dimension is open that should be a number, or the other way round.
    """
    for spec in (*signature.inputs, *signature.outputs):
        shape = shapes[spec.name]
        free = [dim in (BATCH, CANDIDATES, NEW_ITEMS) for dim in spec.dims]
        fits = len(shape) == len(free) and all(
            isinstance(dim, str) == open_ for dim, open_ in zip(shape, free, strict=True)
        )
        numbers = zip(spec.dims, shape, strict=fits)
        if not fits or any(isinstance(declared, int) and declared != dim for declared, dim in numbers):
            raise WinnowError(
                f"{signature.name}: {spec.name} has the shape {shape} in the exported graph, its signature says "
                f"{spec.dims}, where only {BATCH}, {CANDIDATES} and {NEW_ITEMS} stay open"
            )
