"""Atomic creation of a release's model in Triton's repository."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from export.triton.config import ONNX_RUNTIME, Backend, Shapes, config_text
from export.triton.gpu_config import gpu_text
from export.triton.shapes import check_shapes, read_shapes
from winnow.errors import WinnowError
from winnow.signatures import ModelSignature

MODEL_FILE = "model.onnx"


@contextmanager
def new_version(
    signature: ModelSignature,
    version: int,
    repository: Path,
    backend: Backend = ONNX_RUNTIME,
    added: Shapes = MappingProxyType({}),
) -> Iterator[Path]:
    """A folder for ``model.onnx``; when the block succeeds it becomes ``{repository}/{model}/{version}``.

    The configurations ``config.pbtxt`` and ``configs/gpu.pbtxt`` are written with it, with the graph's own dimensions.
    Triton may poll the repository, and refuses a configuration without its version, so the model's folder stays outside
    the repository until it is complete.

    Args:
        signature: the model.
        version: the release.
        repository: Triton's model repository of that release.
        backend: that serves the model.
        added: output name -> shape, of outputs that the backend adds to the graph's.

    Raises:
        WinnowError: the model exists already, or the graph's dimensions are not the signature's.
    """
    final = repository / signature.name
    if final.exists():
        raise WinnowError(f"{final} exists already: releases are never overwritten; choose another number")
    partial = repository.parent / f".{repository.name}-{signature.name}-{os.getpid()}.partial"
    folder = partial / str(version)
    folder.mkdir(parents=True)
    try:
        yield folder
        shapes = read_shapes(folder / MODEL_FILE) | dict(added)
        check_shapes(signature, shapes)
        (partial / "config.pbtxt").write_text(config_text(signature, shapes, backend))
        (partial / "configs").mkdir()
        # Other backends use the CPU on a GPU node as well.
        gpu = gpu_text(signature, shapes) if backend == ONNX_RUNTIME else config_text(signature, shapes, backend)
        (partial / "configs" / "gpu.pbtxt").write_text(gpu)
        repository.mkdir(parents=True, exist_ok=True)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
