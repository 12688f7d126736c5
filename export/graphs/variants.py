"""The precisions of an exported encoder, side by side; one of them becomes the release's ``model.onnx``."""

from pathlib import Path
from typing import Any, Literal, get_args

import onnx_ir as ir
from numpy.typing import NDArray

from export.graphs.half import write_half
from export.graphs.int8 import write_int8
from export.graphs.structure import check_bytes

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def variant_file(precision: Precision) -> str:
    """The variant's file name: ``model.onnx`` for fp32, the precision in the name for the others."""
    return "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"


def write_variants(folder: Path, samples: NDArray[Any]) -> None:
    """Write the fp16 and the int8 variant beside ``model.onnx``.

    Args:
        folder: holds the fp32 file.
        samples: real inputs, [n, ...], for the int8 variant's ranges where they are fixed.

    Raises:
        WinnowError: the graph has control flow, or an operator other than a cast takes bytes.
    """
    source = folder / variant_file("fp32")
    half, eighth = folder / variant_file("fp16"), folder / variant_file("int8")
    write_half(source, half)
    write_int8(source, eighth, samples)
    for path in (half, eighth):
        check_bytes(ir.load(path).graph, f"{folder.name}, {path.name}")
