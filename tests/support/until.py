"""Wait for a condition, with a time-out."""

import asyncio
import time
from collections.abc import Callable

from winnow.errors import WinnowError

TIMEOUT_S = 120.0


def until(condition: Callable[[], object], seconds: float = TIMEOUT_S) -> None:
    """Wait until a condition holds.

    Raises:
        WinnowError: the condition does not hold after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WinnowError(f"the condition did not hold within {seconds:g} s: see the logs of the started processes")
        time.sleep(0.02)


async def async_until(condition: Callable[[], object], seconds: float = TIMEOUT_S) -> None:
    """Wait until a condition holds, and let the event loop run meanwhile.

    Raises:
        WinnowError: the condition does not hold after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WinnowError(f"the condition did not hold within {seconds:g} s")
        await asyncio.sleep(0.005)
