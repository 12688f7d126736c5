"""The newest release, and a stack that serves it to one benchmark alone."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from winnow import home, release
from winnow.errors import WinnowError
from winnow.local.processes import Process, http_ok
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
def stack(served: Release, redis_url: str | None = None) -> Iterator[Stack]:
    """Serve a release apart from everything else, on free ports; what the stack writes is gone afterwards.

    Args:
        served: the release.
        redis_url: a running Redis that it is served from, instead of one of its own.
    """
    ports = Ports.free()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder,
        Stack(served.manifest.number, ports, apart=Path(folder), redis_url=redis_url, show_progress=False) as running,
    ):
        yield running


@contextmanager
def serving(served: Release, redis_url: str | None = None) -> Iterator[Ports]:
    """The same, for those who need no more than to know where it listens."""
    with stack(served, redis_url) as running:
        yield running.ports


@contextmanager
def transformer(served: Release, ports: Ports, redis_url: str, *flags: str) -> Iterator[tuple[Process, int]]:
    """One more transformer beside a stack, with its HTTP port.

    Args:
        served: the release.
        ports: of the stack, whose Triton it asks.
        redis_url: the stack's Redis, or what stands before it.
        flags: more flags.
    """
    own = Ports.free()
    command = [
        *(sys.executable, "-P", "-m", "recommender_transformer"),
        *(f"--release-dir={served.folder}", f"--redis-url={redis_url}"),
        *(f"--predictor_host=127.0.0.1:{ports.triton_grpc}", "--predictor_protocol=grpc-v2"),
        *("--host=127.0.0.1", f"--http_port={own.http}", f"--grpc_port={own.grpc}", *flags),
    ]
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
        process = Process(
            "transformer",
            command,
            log=Path(folder) / "transformer.log",
            ready=lambda: http_ok(own.http, "/v2/models/recommender/ready"),
            timeout=120.0,
            grace=30.0,
        )
        with process:
            yield process, own.http


def active_users(served: Release, count: int) -> list[str]:
    """Some users who have a history."""
    active = np.flatnonzero(np.diff(served.array("offsets")) > 0)
    chosen = np.random.default_rng(0).permutation(active)[:count]
    names: list[str] = served.array("user_ids")[chosen].tolist()
    return names
