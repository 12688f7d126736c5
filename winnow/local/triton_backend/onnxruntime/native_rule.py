"""The validation of Triton's native ONNX Runtime backend: the same checks, in the same order, with the same messages.

After ``ModelInstanceState::ValidateInputs`` and ``ValidateOutputs`` and the functions that they call
(``CompareDimsSupported``, ``CheckAllowedModelInput``), as of release 25.08. Features that the native backend supports
and this one does not are rejected, too: this backend must be at least as strict as the native one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

_DATA_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    **{f"TYPE_{sign}INT{bits}": f"tensor({sign.lower()}int{bits})" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}
"""Data type of the configuration -> type of the graph; release 25.08 has no TYPE_BF16."""

_TRITON_TYPES = {graph: declared for declared, graph in _DATA_TYPES.items()} | {"tensor(string)": "TYPE_BYTES"}

_ONNX_TYPES = {"tensor": "TENSOR", "seq": "SEQUENCE", "map": "MAP", "sparse_tensor": "SPARSETENSOR"}

_NOT_SERVED = ("sequence_batching", "batch_input", "batch_output")

Config = Mapping[str, Any]


class _Node(Protocol):
    """ONNX Runtime's ``NodeArg``; a dimension is a number, or a name or ``None`` where it is symbolic."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    """ONNX Runtime's ``InferenceSession``."""

    def get_inputs(self) -> Sequence[_Node]: ...
    def get_outputs(self) -> Sequence[_Node]: ...
    def get_overridable_initializers(self) -> Sequence[_Node]: ...


class _Tensor(NamedTuple):
    type: str
    shape: list[int]  # -1 where symbolic


def validate(model: str, config: Config, session: _Session) -> None:
    """Validate a model's configuration against its graph.

    Args:
        model: name of the model.
        config: ``config.pbtxt`` as Triton's JSON.
        session: the loaded graph.

    Raises:
        ValueError: the native backend would reject them, or this backend does not support the configuration.
    """
    for feature in _NOT_SERVED:
        if config.get(feature):
            raise ValueError(f"unable to load model '{model}', {feature} is not served by the Python-based backend")
    inputs = _tensors(session.get_inputs())
    initializers = _tensors(session.get_overridable_initializers())
    expected = sum(not declared.get("optional") for declared in config["input"])
    if len(inputs) != expected:
        raise ValueError(
            f"unable to load model '{model}', configuration expects {expected} inputs, model provides {len(inputs)}"
        )
    batch = int(config.get("max_batch_size", 0))
    for declared in config["input"]:
        if declared.get("optional") and batch:
            raise ValueError(
                f"unable to load model '{model}', optional input '{declared['name']}' is not supported for models "
                "that support batching"
            )
        if declared.get("allow_ragged_batch"):
            raise ValueError(
                f"unable to load model '{model}', ragged input '{declared['name']}' is not served by the Python-based "
                "backend"
            )
        _check(model, "input", declared, inputs | initializers, batch)
    outputs = _tensors(session.get_outputs())
    for declared in config["output"]:
        _check(model, "output", declared, outputs, batch)


def _tensors(nodes: Iterable[_Node]) -> dict[str, _Tensor]:
    tensors = {}
    for node in nodes:
        kind = _ONNX_TYPES.get(node.type.partition("(")[0], "UNKNOWN")
        if kind != "TENSOR":
            raise ValueError(
                f"Unsupported ONNX Type 'ONNX_TYPE_{kind}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'."
            )
        tensors[node.name] = _Tensor(node.type, [dim if isinstance(dim, int) else -1 for dim in node.shape])
    return tensors


def _check(
    model: str, kind: Literal["input", "output"], declared: Config, actual: Mapping[str, _Tensor], batch: int
) -> None:
    """Check the name, data type and dimensions of a declared tensor."""
    name, data_type = declared["name"], declared["data_type"]
    if name not in actual:
        allowed = ", ".join(sorted(actual))
        raise ValueError(f"unexpected inference {kind} '{name}', allowed {kind}s are: {allowed}")
    tensor = actual[name]
    if data_type not in _DATA_TYPES:
        raise ValueError(f"unsupported datatype {data_type} for {kind} '{name}' for model '{model}'")
    if _DATA_TYPES[data_type] != tensor.type:
        raise ValueError(
            f"unable to load model '{model}', configuration expects datatype {data_type} for {kind} '{name}', "
            f"model provides {_TRITON_TYPES.get(tensor.type, 'TYPE_<invalid>')}"
        )
    shape = declared["reshape"].get("shape", []) if "reshape" in declared else declared["dims"]
    dims = [int(dim) for dim in shape]
    if tensor.shape:
        _compare(model, name, tensor.shape, dims, batch, exact=kind == "output")
    elif any(dim != 1 for dim in dims):
        raise ValueError(
            f"unable to load model '{model}', scalar tensor '{name}', should only provide 1 in the model configuration "
            f"when the model doesn't support batching. Model configuration provided: {_text(dims)}."
        )


def _compare(model: str, name: str, shape: list[int], dims: list[int], batch: int, *, exact: bool) -> None:
    """Compare shapes; a symbolic dimension of the graph matches every dimension of an input, but not of an output."""
    if batch > 0 and shape[0] != -1:
        raise ValueError(
            f"model '{model}', tensor '{name}': for the model to support batching the shape should have at least 1 "
            f"dimension and the first dimension must be -1; but shape expected by the model is {_text(shape)}"
        )
    full = [-1, *dims] if batch > 0 else dims
    equal = [graph == given or (graph == -1 and not exact) for graph, given in zip(shape, full, strict=False)]
    if len(shape) == len(full) and all(equal):
        return
    explained = (
        "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete "
        f"shape {_text(full)})"
        if batch > 0
        else f"(shape {_text(full)})"
    )
    raise ValueError(
        f"model '{model}', tensor '{name}': the model expects {len(shape)} dimensions (shape {_text(shape)}) but the "
        f"model configuration specifies {len(full)} dimensions {explained}"
    )


def _text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
