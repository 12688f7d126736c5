"""Conversion of an ONNX file to a TensorRT plan by TensorRT itself: ``python -m export plan MODEL.onnx OUT.plan``.

A plan fits the kind of GPU and the TensorRT version that it was built with, so it is built where it will run.
"""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import torch

from export.triton.gpu_config import WORKSPACE
from export.triton.shapes import read_shapes, signature_of, span
from winnow.errors import WinnowError


class NoTensorRT(WinnowError):
    """This machine cannot build plans; the message names the missing part."""

    exit_code = 2


def build_plan(source: Path, target: Path) -> None:
    """Build a plan and write it, whole or not at all.

    The network is strongly typed: every layer has the precision of the file, so ``model.fp16.onnx`` gives an
    fp16 plan whose spectrogram and normalisation stay in fp32.

    Args:
        source: the ONNX file of one of Winnow's models.
        target: the file to write.

    Raises:
        NoTensorRT: TensorRT or a GPU is missing.
        WinnowError: the file is none of Winnow's models, or TensorRT refuses it.
    """
    shapes = read_shapes(source)
    signature = signature_of(source, shapes)
    trt = tensorrt()
    builder, network = read_network(trt, source)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    profile = builder.create_optimization_profile()
    for spec in signature.inputs:
        spans = [span(signature, dim) for dim in shapes[spec.name]]
        profile.set_shape(
            spec.name, [size.least for size in spans], [size.usual for size in spans], [size.most for size in spans]
        )
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise WinnowError(f"TensorRT {trt.__version__} built no plan of {source}: its log above says why")
    partial = target.with_name(f".{target.name}-{os.getpid()}.partial")
    try:
        partial.write_bytes(plan)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def read_network(trt: Any, source: Path) -> tuple[Any, Any]:
    """Parse an ONNX file with TensorRT; returns its builder and the network.

    Raises:
        WinnowError: TensorRT refuses it.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    # The path leads to the weights that models share.
    if not parser.parse(source.read_bytes(), str(source)):
        problems = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
        raise WinnowError(f"TensorRT {trt.__version__} cannot read {source}: {problems}")
    return builder, network


def tensorrt() -> Any:
    """The package, if it is installed and there is a GPU.

    Raises:
        NoTensorRT: one of them is missing.
    """
    if importlib.util.find_spec("tensorrt") is None:
        raise NoTensorRT(
            "TensorRT's Python package is not installed: on the machine with the GPU run `pip install tensorrt-cu12`, "
            "of the version that Triton's image has"
        )
    if not torch.cuda.is_available():
        raise NoTensorRT(
            "TensorRT is installed, but there is no NVIDIA GPU that CUDA can use: build the plan on a GPU node "
            "(`nvidia-smi` there must list one)"
        )
    return importlib.import_module("tensorrt")
