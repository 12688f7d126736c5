"""A version of a Triton model appears whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.triton_config import config_text
from winnow.errors import WinnowError
from winnow.signatures import ModelSignature

MODEL_FILE = "model.onnx"


@contextmanager
def new_version(signature: ModelSignature, version: int, repository: Path) -> Iterator[Path]:
    """A folder to put ``model.onnx`` in; it becomes ``{repository}/{model}/{version}`` when the block ends well.

    Triton may poll the repository, so the folder lies outside of it until then. ``config.pbtxt`` is written with it.

    Args:
        signature: the model.
        version: the release.
        repository: Triton's model repository.

    Raises:
        WinnowError: the version exists already.
    """
    model = repository / signature.name
    final = model / str(version)
    if final.exists():
        raise WinnowError(f"{final} exists already: releases are never overwritten; choose another number")
    partial = repository.parent / f".{repository.name}-{signature.name}-{version}-{os.getpid()}.partial"
    partial.mkdir(parents=True)
    try:
        yield partial
        model.mkdir(parents=True, exist_ok=True)
        _write_config(model / "config.pbtxt", config_text(signature))
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_config(path: Path, text: str) -> None:
    """Replace the file at once, and only where it differs: a changed config makes Triton reload every version."""
    if path.is_file() and path.read_text() == text:
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
