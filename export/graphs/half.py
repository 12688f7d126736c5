"""Conversion of an fp32 graph to fp16, for GPUs: half the size, and half-precision arithmetic.

Inputs and outputs keep their types. ONNX Runtime's own converter casts to fp16 and back between any two nodes that
stay in fp32, which breaks a log-mel spectrogram (its power exceeds fp16's range); here casts are placed only between
fp16 and fp32 parts.
"""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from export.graphs.structure import check_flat, preparation

_SENSITIVE = (
    *("Div", "Exp", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Pow"),
    *("ReduceL2", "ReduceMean", "ReduceSum", "Reciprocal", "Softmax", "Sqrt"),
)
"""Sums over many values, and operators on their results: 11 bits lose too much, or overflow."""

_UNTOUCHED = ("Cast", "Clip", "Constant", "ConstantOfShape", "Expand", "IsNaN", "Max", "Min", "Range", "Resize")
"""These create values, or lack a half-precision form on some runtime."""

_FULL = frozenset((*_SENSITIVE, *_UNTOUCHED))
_LARGEST = float(np.finfo(np.float16).max)


def write_half(source: Path, target: Path) -> None:
    """Write the fp16 variant of an encoder.

    Args:
        source: the fp32 ONNX file.
        target: the file to write.

    Raises:
        WinnowError: the graph has control flow.
    """
    model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(source)))
    check_flat(model.graph, source.name)
    full = preparation(model.graph)
    versions: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
    for node in list(model.graph):
        half = node not in full and node.op_type not in _FULL
        target_type = ir.DataType.FLOAT16 if half else ir.DataType.FLOAT
        for place, value in enumerate(node.inputs):
            if (
                value is not None
                and value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)
                and value.dtype != target_type
            ):
                node.replace_input_with(place, _as(value, target_type, model.graph, versions))
        for value in node.outputs:
            if half and value.dtype == ir.DataType.FLOAT:
                value.dtype = ir.DataType.FLOAT16
    for place, value in enumerate(model.graph.outputs):
        if value.dtype == ir.DataType.FLOAT16:
            name, value.name = value.name, f"{value.name}.half"
            cast = _as(value, ir.DataType.FLOAT, model.graph, versions)
            cast.name = name
            model.graph.outputs[place] = cast
    unused = [name for name, value in model.graph.initializers.items() if not value.uses()]
    for name in unused:
        del model.graph.initializers[name]
    ir.save(model, target)
    onnx.checker.check_model(target, full_check=True)


def _as(
    value: ir.Value, target_type: ir.DataType, graph: ir.Graph, versions: dict[tuple[ir.Value, ir.DataType], ir.Value]
) -> ir.Value:
    """The value in the other precision: a constant converted once, anything else cast once."""
    if (value, target_type) in versions:
        return versions[value, target_type]
    name = f"{value.name}.{target_type.name.lower()}"
    if value.const_value is not None and value.producer() is None:
        # Masks are "minus infinity" in fp32's range.
        converted = np.clip(value.const_value.numpy(), -_LARGEST, _LARGEST).astype(target_type.numpy())
        made = ir.Value(name=name, const_value=ir.tensor(converted, name=name))
        made.dtype, made.shape = target_type, value.shape
        graph.initializers[name] = made
    else:
        cast = ir.node("Cast", [value], {"to": target_type})
        made = cast.outputs[0]
        made.name, made.dtype, made.shape = name, target_type, value.shape
        producer = value.producer()
        if producer is None:
            graph.insert_before(graph[0], cast)
        else:
            graph.insert_after(producer, cast)
    versions[value, target_type] = made
    return made
