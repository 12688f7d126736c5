"""Simplification of an exported graph: rewrites that ONNX Runtime's own optimiser does not make.

Each is exact up to rounding, so the export's parity check covers the result.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_VECTOR = 16
"""Channels that ONNX Runtime's convolutions process at once on CPUs with AVX-512; half as many on others."""


_Floats = NDArray[np.float32]
_AFFINE: Mapping[str, Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "Add": lambda scale, shift, vector: (scale, shift + vector),
    "Sub": lambda scale, shift, vector: (scale, shift - vector),
    "Mul": lambda scale, shift, vector: (scale * vector, shift * vector),
    "Div": lambda scale, shift, vector: (scale / vector, shift / vector),
}


def simplify(graph: ir.Graph) -> None:
    """Rewrite a graph in place; parts of unknown shape are left unchanged."""
    for value in graph.inputs:
        if value.dtype == ir.DataType.UINT8:
            _measure_after_cast(value)
    graph.sort()
    for node in reversed(list(graph)):
        if node.op_type == "Transpose":
            _normalise_planes(node, graph)
        elif node.op_type == "AveragePool":
            _pool_in_convolutions(node, graph)
        elif node.op_type == "Reshape":
            _transpose_keys(node, graph)
    _drop_unused(graph)


def _normalise_planes(node: ir.Node, graph: ir.Graph) -> None:
    """Colours [B, H, W, 3] less a mean, over a deviation, then [B, 3, H, W]: transposed first.

    Arithmetic with a vector of three broadcasts in runs of three; a plane at a time, and mean and deviation in one pass
    (which is what batch normalisation is), it is twenty times faster. The cast stays in front: TensorRT
    supports bytes as inputs only, and on a CPU the cast takes the same time on either side.
    """
    if list(node.attributes["perm"].as_ints()) != [0, 3, 1, 2]:
        return
    steps: list[tuple[str, _Floats]] = []
    value = node.inputs[0]
    while (step := _arithmetic(value)) is not None:
        steps.append((step.op_type, _array(step.inputs[1])))
        value = step.inputs[0]
    cast = value.producer() if value is not None else None
    if not steps or cast is None or cast.op_type != "Cast" or len({vector.shape for _, vector in steps}) > 1:
        return
    scale, shift = np.ones_like(steps[0][1], np.float64), np.zeros_like(steps[0][1], np.float64)
    for operation, vector in reversed(steps):
        scale, shift = _AFFINE[operation](scale, shift, vector.astype(np.float64))
    plain = {"scale": scale, "shift": shift, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
    constants = [_constant(graph, f"pixels.{name}", vector) for name, vector in plain.items()]
    planes = ir.node("Transpose", cast.outputs, {"perm": [0, 3, 1, 2]})
    _replace(graph, node, [planes, ir.node("BatchNormalization", [*planes.outputs, *constants], {"epsilon": 0.0})])


def _measure_after_cast(value: ir.Value) -> None:
    """Take the shape of a byte input from its cast: in TensorRT a cast is the only operator on bytes."""
    uses = list(value.uses())
    casts = [use.node for use in uses if use.node.op_type == "Cast"]
    for use in uses:
        if casts and use.node.op_type == "Shape":
            use.node.replace_input_with(use.idx, casts[0].outputs[0])


def _arithmetic(value: ir.Value | None) -> ir.Node | None:
    """The operation with a constant vector that produces ``value``, if it does and ``value`` has no other use."""
    node = value.producer() if value is not None else None
    if value is None or node is None or node.op_type not in _AFFINE or len(value.uses()) != 1:
        return None
    constant = node.inputs[1]
    return node if constant is not None and constant.const_value is not None and _array(constant).ndim == 1 else None


def _pool_in_convolutions(node: ir.Node, graph: ir.Graph) -> None:
    """A mean over tiles, then 1 x 1 convolutions: one convolution each, whose kernel is the tile.

    ONNX Runtime pools fast in multiples of a vector's width only, and a tile of one pixel needs no pooling.
    """
    tile = node.attributes["kernel_shape"].as_ints()
    if list(node.attributes["strides"].as_ints()) != list(tile) or node.outputs[0].is_graph_output():
        return
    if "pads" in node.attributes and any(node.attributes["pads"].as_ints()):
        return
    followers = [use.node for use in node.outputs[0].uses()]
    channels = node.outputs[0].shape[1] if node.outputs[0].shape is not None else None
    wide = not isinstance(channels, int) or channels >= _VECTOR
    if (wide and math.prod(tile) > 1) or not all(_is_pointwise(follower) for follower in followers):
        return
    for follower in followers:
        weight = follower.inputs[1]
        assert weight is not None
        spread = np.broadcast_to(_array(weight), (*_array(weight).shape[:2], *tile)) / math.prod(tile)
        kernel = _constant(graph, f"{weight.name}.tile", spread)
        attributes = {"kernel_shape": list(tile), "strides": list(tile)}
        made = ir.node("Conv", [node.inputs[0], kernel, *follower.inputs[2:]], attributes)
        _replace(graph, follower, [made])
    graph.remove(node, safe=True)


def _transpose_keys(node: ir.Node, graph: ir.Graph) -> None:
    """An attention's keys [B, heads, T, D] to [B, heads, D, T] by way of [B * heads, T, D]: directly.

    The exporter uses nine operators to compute the shapes; ONNX Runtime fuses the direct transpose into the product
    that follows.
    """
    transpose, back = _producer(node.inputs[0], "Transpose"), _producer(node.inputs[1], "Concat")
    if transpose is None or back is None or list(transpose.attributes["perm"].as_ints()) != [0, 2, 1]:
        return
    flat = _producer(transpose.inputs[0], "Reshape")
    there = _producer(flat.inputs[1], "Concat") if flat is not None else None
    if flat is None or there is None or len(there.inputs) != 3 or len(back.inputs) != 3:
        return
    source = flat.inputs[0]
    if source is None or source.shape is None or source.shape.rank() != 4:
        return
    slices = [_producer(value, "Slice") for value in (*back.inputs, *there.inputs[1:])]
    shapes = [_producer(part.inputs[0], "Shape") for part in slices if part is not None]
    all_of_it = len(shapes) == 5 and all(shape is not None and shape.inputs[0] is source for shape in shapes)
    if all_of_it and list(there.inputs[1:]) == list(back.inputs[1:])[::-1]:
        _replace(graph, node, [ir.node("Transpose", [source], {"perm": [0, 1, 3, 2]})])


def _producer(value: ir.Value | None, operator: str) -> ir.Node | None:
    """The node that produces ``value``, if it is this operator."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == operator else None


def _is_pointwise(node: ir.Node) -> bool:
    weight = node.inputs[1] if node.op_type == "Conv" else None
    if weight is None or weight.const_value is None or _array(weight).shape[2:] != (1, 1):
        return False
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    strides = node.attributes["strides"].as_ints() if "strides" in node.attributes else [1, 1]
    pads = node.attributes["pads"].as_ints() if "pads" in node.attributes else [0]
    return group == 1 and set(strides) == {1} and not any(pads)


def _array(value: ir.Value | None) -> _Floats:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def _constant(graph: ir.Graph, name: str, content: NDArray[np.floating]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.ascontiguousarray(content, np.float32), name=name))
    value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape(content.shape)
    graph.initializers[name] = value
    return value


def _replace(graph: ir.Graph, node: ir.Node, made: Sequence[ir.Node]) -> None:
    graph.insert_before(node, made)
    result, old = made[-1].outputs[0], node.outputs[0]
    result.name, result.type, result.shape = old.name, old.type, old.shape
    for place, step in enumerate(made):
        step.name = f"{node.name}.step{place}"
        if step is not made[-1]:
            step.outputs[0].name = f"{old.name}.step{place}"
    old.replace_all_uses_with(result)
    graph.remove(node, safe=True)


def _drop_unused(graph: ir.Graph) -> None:
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
