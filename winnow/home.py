"""Where state lives: everything under ``WINNOW_HOME`` (default ``.winnow/`` in the working directory)."""

import os
from pathlib import Path


def home() -> Path:
    """The state folder, absolute; created on first use by whoever writes into it."""
    return Path(os.environ.get("WINNOW_HOME", ".winnow")).resolve()


def releases() -> Path:
    """``releases/N`` holds what release N ships beside its Triton models."""
    return home() / "releases"


def model_repository(number: int) -> Path:
    """Triton's repository of release N: ``NAME/config.pbtxt``, ``NAME/configs/gpu.pbtxt`` and ``NAME/N/model.onnx``."""
    return home() / "model_repository" / str(number)


def pipelines() -> Path:
    """Where pipeline runs on this machine keep their artifacts."""
    return home() / "pipelines"


def embeddings() -> Path:
    """Embeddings by content, kept from build to build."""
    return home() / "embeddings"


def events() -> Path:
    """Where `winnow events export` writes."""
    return home() / "events"


def run() -> Path:
    """Process state and log files of the single-machine stack."""
    return home() / "run"
