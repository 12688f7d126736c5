"""Waiting for something, but not for ever."""

import time
from collections.abc import Callable

from winnow.errors import WinnowError

PATIENCE_S = 120.0


def until(holds: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait for something.

    Raises:
        WinnowError: it does not come about in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise WinnowError(f"waited {seconds:g} s in vain: see the logs of what was started")
        time.sleep(0.02)
