"""The newest release, and a stack of its own that serves it for one benchmark."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from winnow import home, release
from winnow.errors import WinnowError
from winnow.local.stack import Stack
from winnow.ports import Ports
from winnow.release import Release


def newest() -> Release:
    """The newest release meant for serving.

    Raises:
        WinnowError: there is none.
    """
    served = release.latest(home.releases())
    if served is None:
        raise WinnowError("no release to measure: build one with `winnow build`")
    return served


@contextmanager
def stack(served: Release, redis_url: str | None = None, reuse_s: float | None = 0.0) -> Iterator[Stack]:
    """Serve a release on a stack of its own: free ports, and a temporary folder for its files.

    Args:
        served: the release.
        redis_url: a running Redis to serve from; by default the stack starts one.
        reuse_s: age up to which an answer is reused, ``None`` for the transformer's default; by default every answer is
            computed, because few users send all requests of a benchmark.
    """
    ports = Ports.free()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder,
        Stack(
            served.manifest.number,
            ports,
            state_dir=Path(folder),
            redis_url=redis_url,
            reuse_s=reuse_s,
            show_progress=False,
        ) as running,
    ):
        yield running


@contextmanager
def serving(served: Release, redis_url: str | None = None) -> Iterator[Ports]:
    """Serve a release on a stack of its own and give its ports."""
    with stack(served, redis_url) as running:
        yield running.ports


def active_users(served: Release, count: int) -> list[str]:
    """Some users with a history, at random from a fixed seed."""
    active = np.flatnonzero(np.diff(served.array("offsets")) > 0)
    chosen = np.random.default_rng(0).permutation(active)[:count]
    names: list[str] = served.array("user_ids")[chosen].tolist()
    return names
