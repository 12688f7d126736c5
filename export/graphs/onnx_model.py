"""Export of a PyTorch module to an ONNX file, beside the files of weights that several graphs share."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from export.graphs.parity import resized
from export.graphs.shared_weights import declare_inputs, refer, without_files
from export.graphs.simplify import simplify
from export.graphs.structure import check_bytes
from winnow.errors import WinnowError
from winnow.signatures import BATCH, CANDIDATES, NEW_ITEMS, ModelSignature

OPSET = 20

_ONNX_TYPES = {
    "FP32": onnx.TensorProto.FLOAT,
    "INT32": onnx.TensorProto.INT32,
    "INT64": onnx.TensorProto.INT64,
    "UINT8": onnx.TensorProto.UINT8,
}

_TRACED = {BATCH: 3, CANDIDATES: 5, NEW_ITEMS: 7}
"""Sizes for tracing: distinct, and not 1, which the exporter would treat as a constant."""


def write_onnx(
    module: nn.Module,
    signature: ModelSignature,
    samples: Mapping[str, Tensor],
    path: Path,
    shared: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Export a module with free dimensions for batch, candidates and new items, and check the graph.

    Args:
        module: in evaluation mode; its ``forward`` takes the signature's inputs in order.
        signature: names of the graph's tensors.
        samples: input name -> a tensor of the right type; free dimensions may have any size.
        path: the file to write, weights included.
        shared: name of a buffer of ``module`` -> the ``.npy`` file with its content, in the folder of ``path``. The
            graph names the file instead of holding a copy.

    Raises:
        WinnowError: the graph's tensors are not the signature's, or an operator other than a cast takes bytes.
    """
    inputs = resized(signature, samples, _TRACED)
    free = {name: torch.export.Dim(name) for name in _TRACED}
    shapes = tuple(
        {axis: free[str(dim)] for axis, dim in enumerate(spec.dims) if dim in free} for spec in signature.inputs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=[spec.name for spec in signature.inputs],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    refer(program.model.graph, shared)
    simplify(program.model.graph)
    check_bytes(program.model.graph, signature.name)
    _name_outputs(program.model.graph, signature)
    declare_inputs(program.model.graph)
    _remove_metadata(program.model)
    ir.save(program.model, path)
    written = onnx.load(path, load_external_data=False)
    _check_tensors(written.graph, signature)
    written.graph.CopyFrom(without_files(written.graph))
    onnx.checker.check_model(written, full_check=True)


def _name_outputs(graph: ir.Graph, signature: ModelSignature) -> None:
    """Give the outputs their names.

    The exporter names inner values after their operators, and may choose the name of an output: every ``nn.Embedding``
    makes an ``embedding``.
    """
    taken = {spec.name for spec in (*signature.inputs, *signature.outputs)}
    for node in graph:
        for value in node.outputs:
            if value.name in taken:
                value.name = f"{value.name}.inner"
    for value, spec in zip(graph.outputs, signature.outputs, strict=True):
        value.name = spec.name


def _remove_metadata(model: ir.Model) -> None:
    """Remove the exporter's metadata: stack traces with local paths, which can be larger than a small model."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for node in model.graph:
        node.metadata_props.clear()
        values += node.outputs
    for value in values:
        value.metadata_props.clear()


def _check_tensors(graph: onnx.GraphProto, signature: ModelSignature) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    tensors = [*(value for value in graph.input if value.name not in weights), *graph.output]
    written = [(value.name, value.type.tensor_type.elem_type) for value in tensors]
    declared = [(spec.name, _ONNX_TYPES[spec.dtype]) for spec in (*signature.inputs, *signature.outputs)]
    if written != declared:
        raise WinnowError(
            f"{signature.name}: the exported graph has the tensors {written}, its signature says {declared} "
            "(names and ONNX types): an output that is a view of an input or of another output loses its name; "
            "end the module with an operation that makes a new tensor"
        )
