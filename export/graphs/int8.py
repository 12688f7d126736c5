"""Conversion of an fp32 graph to int8, for CPUs: a quarter of the size, and integer dot products."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.graphs.structure import WEIGHTED, check_flat, preparation

_BATCH = 16


def write_int8(source: Path, target: Path, samples: NDArray[Any]) -> None:
    """Write the int8 variant of an encoder.

    A transformer's matrix products measure their inputs' range at run time (dynamic quantisation), which suits the
    varying range of its activations; its embedding tables are stored in eight bits too. Convolutions have no dynamic
    form: a network of mostly convolutions gets fixed ranges from ``samples`` (static quantisation).

    Weights have seven bits: where the processor lacks VNNI, a sum of two products of eight bits would saturate, and the
    variant would be another model than on the machine that compared it.

    Args:
        source: the fp32 ONNX file.
        target: the file to write.
        samples: real inputs, [n, ...].

    Raises:
        WinnowError: the graph has control flow.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Batch normalisation goes into the convolution before it, so that both become one integer operator.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        graph = ir.load(prepared).graph
        check_flat(graph, source.name)
        kept = [node.name for node in preparation(graph)]
        if _is_convolutional(graph):
            quantize_static(
                prepared,
                target,
                _Reader(graph.inputs[0].name or "", samples),
                op_types_to_quantize=sorted(WEIGHTED),
                nodes_to_exclude=kept,
                per_channel=True,
                reduce_range=True,
                # Unsigned inputs times signed weights is the operands of x86's integer dot product.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        else:
            quantize_dynamic(
                prepared,
                target,
                op_types_to_quantize=[*sorted(WEIGHTED - {"Conv"}), "Gather"],
                nodes_to_exclude=kept,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                # Attention multiplies activations by activations: too little work to gain from rounding them.
                extra_options={"MatMulConstBOnly": True},
            )
    onnx.checker.check_model(target)


def _is_convolutional(graph: ir.Graph) -> bool:
    prepared = preparation(graph)
    operators = Counter(node.op_type for node in graph if node not in prepared)
    return operators["Conv"] > operators["MatMul"] + operators["Gemm"]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives the calibration one batch at a time."""

    def __init__(self, name: str, samples: NDArray[Any]) -> None:
        parts = np.array_split(samples, max(1, len(samples) // _BATCH))
        self._batches: Iterator[dict[str, NDArray[Any]]] = iter([{name: part} for part in parts])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)
