"""Put a model into Triton's repository as one version: whole, or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from export.onnx_model import write_onnx
from export.parity import ParityRow, measure
from export.triton_config import config_text
from winnow.errors import WinnowError
from winnow.signatures import ModelSignature

MODEL_FILE = "model.onnx"


def export_model(
    module: nn.Module,
    signature: ModelSignature,
    version: int,
    repository: Path,
    samples: Mapping[str, Tensor],
    bound: float,
) -> ParityRow:
    """Export a module to ``{repository}/{model}/{version}/model.onnx``, beside the model's ``config.pbtxt``.

    Triton may poll the repository, so the version's folder gets its name only when the model in it has been checked.

    Args:
        module: on the CPU; its ``forward`` takes the signature's inputs in order and gives its outputs.
        signature: the model's name and tensors.
        version: the release.
        repository: Triton's model repository.
        samples: input name -> real inputs, [any, ...]; the parity check is made on them.
        bound: largest absolute difference from PyTorch that is accepted.

    Returns:
        The parity figures.

    Raises:
        ParityError: the exported model differs from the original.
        WinnowError: the version exists already, or the graph's tensors are not the signature's.
    """
    model = repository / signature.name
    final = model / str(version)
    if final.exists():
        raise WinnowError(f"{final} exists already: releases are never overwritten; choose another number")
    module.eval()
    partial = repository.parent / f".{repository.name}-{signature.name}-{version}-{os.getpid()}.partial"
    partial.mkdir(parents=True)
    try:
        write_onnx(module, signature, samples, partial / MODEL_FILE)
        row = measure(module, partial / MODEL_FILE, signature, samples, bound)
        model.mkdir(parents=True, exist_ok=True)
        _write_config(model / "config.pbtxt", config_text(signature))
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return row


def _write_config(path: Path, text: str) -> None:
    """Replace the file at once, and only where it differs: a changed config makes Triton reload every version."""
    if path.is_file() and path.read_text() == text:
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
