"""Where state lives: everything under ``WINNOW_HOME`` (default ``.winnow/`` in the working directory).

A lock on a file guards what only one process of a home may do at a time. The kernel releases the lock when its holder
ends, however it ends, so a killed process blocks no later one.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from winnow.errors import WinnowError


def home() -> Path:
    """The state folder, absolute; created by the first process that writes into it."""
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


@contextmanager
def held(path: Path, refusal: str, patience_seconds: float = 0.0) -> Iterator[IO[str]]:
    """Hold the lock; gives the file, open for reading and writing, with whatever the last holder wrote.

    Args:
        path: The file; made where it is missing, and never removed.
        refusal: What to say where another process holds it.
        patience_seconds: How long to wait for it.

    Raises:
        WinnowError: Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + patience_seconds
        while not taken(file):
            if time.monotonic() >= deadline:
                raise WinnowError(refusal)
            time.sleep(0.05)
        yield file


def taken(file: IO[str], shared: bool = False) -> bool:
    """Take the lock if it is free; whether it was. Closing the file gives it back."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
