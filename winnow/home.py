"""The folders of a home (``WINNOW_HOME``, by default ``.winnow/`` in the working directory), and locks on its files.

A file lock guards an operation that only one process of a home may run at a time. The kernel releases the lock when the
holder ends, even by a signal, so a killed process never blocks a later one.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from winnow.errors import WinnowError

EXPERIMENTS = "experiments.yaml"
"""Name of the file."""


def home() -> Path:
    """The home, an absolute path; the first process that writes creates it."""
    return Path(os.environ.get("WINNOW_HOME", ".winnow")).resolve()


def releases() -> Path:
    """The folder of the releases: ``releases/N`` holds the files of release N other than its Triton models."""
    return home() / "releases"


def model_repository(number: int) -> Path:
    """Release N's Triton repository: ``NAME/config.pbtxt``, ``NAME/configs/gpu.pbtxt`` and ``NAME/N/model.onnx``."""
    return home() / "model_repository" / str(number)


def onnx_model(number: int, name: str) -> Path:
    """The ONNX file of one of release N's models."""
    return model_repository(number) / name / str(number) / "model.onnx"


def pipelines() -> Path:
    """The artifacts of pipeline runs on this machine."""
    return home() / "pipelines"


def embeddings() -> Path:
    """The embedding store, which builds share."""
    return home() / "embeddings"


def events() -> Path:
    """The output of `winnow events export`."""
    return home() / "events"


def experiments() -> Path:
    """The experiments that the home's stack was last served with."""
    return home() / EXPERIMENTS


def run() -> Path:
    """Process state and logs of the single-machine stack."""
    return home() / "run"


@contextmanager
def held(path: Path, refusal: str, patience_seconds: float = 0.0) -> Iterator[IO[str]]:
    """Hold an exclusive lock on a file.

    Args:
        path: the file; created where it is missing, and never removed.
        refusal: the error message where another process holds the lock.
        patience_seconds: how long to wait for the lock.

    Yields:
        The file, open for reading and writing, with the content that the last holder wrote.

    Raises:
        WinnowError: another process holds the lock.
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
    """Whether the lock was free; it is then taken. Closing the file releases it."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
