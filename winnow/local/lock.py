"""A lock on a file, for what only one process of a home may do at a time.

The kernel drops the lock however its holder ends, so what a killed one left behind keeps nobody out.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from winnow.errors import WinnowError


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
