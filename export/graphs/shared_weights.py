"""Weights that the graphs of a release share: a graph names rows of a ``.npy`` file instead of holding a copy.

A runtime maps the file, and keeps it the only copy as long as it neither transposes nor packs the weights.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

_PACKED = "MatMulNBits"
"""This operator is slow over weights that are not packed; its codes are small."""


def refer(graph: ir.Graph, files: Mapping[str, Path]) -> None:
    """Let initializers be the arrays of ``.npy`` files, and read them where they lie.

    Args:
        graph: as exported.
        files: name of an initializer -> the file with its content, in the folder of the graph's file.
    """
    for name, file in files.items():
        value = graph.initializers[name]
        content = np.load(file, mmap_mode="r", allow_pickle=False)
        _set(value, file, file.stat().st_size - content.nbytes, content.shape)
    for node in list(graph):
        if node.op_type == "Slice":
            _slice_in_place(node, graph)
    for node in list(graph):
        if node.op_type == "MatMul":
            _multiply_in_place(node, graph)


def declare_inputs(graph: ir.Graph) -> None:
    """Declare shared weights as inputs with a default, which no runtime packs or folds: both would copy them.

    ONNX Runtime's option against packing would not do: it is for all weights of a session, and Triton's native backend
    cannot set it.
    """
    for value in graph.initializers.values():
        packed = any(use.node.op_type == _PACKED for use in value.uses())
        if isinstance(value.const_value, ir.ExternalTensor) and not packed:
            graph.inputs.append(value)


def without_files(graph: onnx.GraphProto) -> onnx.GraphProto:
    """A graph whose shared weights are plain inputs: ONNX's checker refuses files with several hard links."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    declared = {value.name for value in copy.input}
    for tensor in [tensor for tensor in copy.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]:
        if tensor.name not in declared:
            copy.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        copy.initializer.remove(tensor)
    return copy


def _set(value: ir.Value, file: Path, offset: int, shape: tuple[int, ...]) -> None:
    """Let an initializer be the array of this shape at an offset of a file."""
    assert value.dtype is not None
    length = math.prod(shape) * value.dtype.bitwidth // 8
    value.shape = ir.Shape(shape)
    value.const_value = ir.ExternalTensor(
        file.name, offset, length, value.dtype, shape=ir.Shape(shape), name=value.name or "", base_dir=file.parent
    )


def _slice_in_place(node: ir.Node, graph: ir.Graph) -> None:
    """Consecutive rows of a file's array: an array of their own at another offset."""
    whole = node.inputs[0]
    array = whole.const_value if whole is not None else None
    if whole is None or not isinstance(array, ir.ExternalTensor):
        return
    bounds = [value.const_value.numpy().item() for value in node.inputs[1:] if value and value.const_value]
    first, last, axis, step = map(int, bounds)
    assert (axis, step) == (0, 1), "winnow.models.scan.part selects consecutive rows"
    rows, *others = array.shape.numpy()
    last = min(last, rows)
    part = ir.Value(name=f"{whole.name}.{first}-{last}", type=ir.TensorType(array.dtype))
    offset = (array.offset or 0) + first * array.nbytes // rows
    _set(part, Path(array.base_dir, array.location), offset, (last - first, *others))
    graph.initializers[part.name or ""] = part
    node.outputs[0].replace_all_uses_with(part)
    graph.remove(node, safe=True)


def _multiply_in_place(node: ir.Node, graph: ir.Graph) -> None:
    """Shared weights [n, D] times the transpose of [B, D], transposed: ``Gemm``, in which nothing is transposed."""
    weight, turned = node.inputs
    transpose = turned.producer() if turned is not None else None
    uses = list(node.outputs[0].uses())
    if weight is None or not isinstance(weight.const_value, ir.ExternalTensor) or len(uses) != 1:
        return
    last = uses[0].node
    if transpose is None or transpose.op_type != "Transpose" or last.op_type != "Transpose":
        return
    product = ir.node("Gemm", [transpose.inputs[0], weight], {"transB": 1}, name=f"{node.name}.in_place")
    result, old = product.outputs[0], last.outputs[0]
    graph.insert_before(last, [product])
    result.name, result.type, result.shape = old.name, old.type, old.shape
    old.replace_all_uses_with(result)
    graph.remove([last, node], safe=True)
