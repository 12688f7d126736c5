"""A publication and a promotion that are killed at a random moment, and what they leave."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.support.lifecycle.homes import add_release
from winnow.lifecycle.live import check_whole, live, promote
from winnow.lifecycle.transfer import upload


def killed(folder: Path, rounds: int, seed: int = 0) -> Iterator[tuple[int, int, int]]:
    """Publish and promote releases in child processes, each of which is killed with SIGKILL at a random moment.

    Args:
        folder: an empty folder.
        rounds: how many.
        seed: of the moments.

    Yields:
        Per round the release that was live before, the one that was promoted, and the one that is live, which is whole.

    Raises:
        ReleaseMismatch: the live release is not whole.
    """
    source, home = folder / "source", folder / "home"
    for number in (1, 2):
        add_release(source, number)
        upload(source, str(home), number)
    promote(str(home), 1)
    # The moments are spread over the time that one takes, measured in a child as the others are.
    started = time.monotonic()
    os.waitpid(_child(source, home, 2), 0)
    duration = time.monotonic() - started
    moments = random.Random(seed)
    for number in range(3, rounds + 3):
        add_release(source, number)
        before = live(str(home))
        assert before is not None
        child = _child(source, home, number)
        time.sleep(moments.uniform(0, 1.2 * duration))
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = live(str(home))
        assert after is not None
        check_whole(str(home), after.release)
        yield before.release, number, after.release


def _child(source: Path, home: Path, number: int) -> int:
    """Publish and promote in a child process; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            upload(source, str(home), number)
            promote(str(home), number)
        finally:
            os._exit(0)
    return child
