"""Which part of an encoder's graph prepares its input, and which part has learned weights."""

import onnx_ir as ir

from winnow.errors import WinnowError

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply by a weight."""


def preparation(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that turn the input into the network's training input: normalised pixels, a log-mel spectrogram.

    These are all nodes before the first operator with a weight. A spectrogram is itself made by such operators, with
    fixed weights (a Fourier basis, mel filters), and ends in a logarithm, so all nodes that a ``Log`` depends on
    belong to it too. Reduced precision would break it: a sound's power spans more than ten decades.
    """
    before_log = _ancestors([node for node in graph if node.op_type == "Log"])
    found: set[ir.Node] = set()
    for node in graph:  # in topological order
        producers = [value.producer() for value in node.inputs if value is not None]
        own = node in before_log or not _has_weight(node)
        if own and all(producer is None or producer in found for producer in producers):
            found.add(node)
    return found


def check_bytes(graph: ir.Graph, name: str) -> None:
    """Refuse a graph in which an operator other than a cast takes a byte input: TensorRT supports no other.

    Raises:
        WinnowError: another operator takes the input as it is.
    """
    for value in graph.inputs:
        others = sorted({use.node.op_type for use in value.uses()} - {"Cast"})
        if value.dtype in (ir.DataType.UINT8, ir.DataType.INT8) and others:
            raise WinnowError(
                f"{name}: {', '.join(others)} takes the bytes of the input {value.name}, which TensorRT refuses; cast "
                "them first"
            )


def check_flat(graph: ir.Graph, name: str) -> None:
    """Refuse a graph with control flow: its inner graphs would not be converted.

    Raises:
        WinnowError: there is an ``If``, ``Loop`` or ``Scan``.
    """
    for node in graph:
        if any(value.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for value in node.attributes.values()):
            raise WinnowError(f"{name}: {node.op_type} has a graph of its own; export the model without control flow")


def _has_weight(node: ir.Node) -> bool:
    if node.op_type in WEIGHTED:
        return True
    table = node.inputs[0] if node.op_type == "Gather" else None  # an embedding
    return table is not None and table.const_value is not None and table.const_value.dtype == ir.DataType.FLOAT


def _ancestors(nodes: list[ir.Node]) -> set[ir.Node]:
    """These nodes and all nodes that they depend on."""
    found: set[ir.Node] = set()
    while nodes:
        node = nodes.pop()
        if node not in found:
            found.add(node)
            nodes += [maker for value in node.inputs if value is not None and (maker := value.producer()) is not None]
    return found
