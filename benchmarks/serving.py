"""The newest release, and a stack that serves it to one benchmark alone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow import home, release
from winnow.errors import WinnowError
from winnow.local.ports import Ports
from winnow.local.stack import Stack
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
def serving(served: Release, redis_url: str | None = None) -> Iterator[Ports]:
    """Serve a release apart from everything else, on free ports; what the stack writes is gone afterwards.

    Args:
        served: the release.
        redis_url: a running Redis that it is served from, instead of one of its own.
    """
    ports = Ports.free()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder,
        Stack(served.manifest.number, ports, apart=Path(folder), redis_url=redis_url, show_progress=False),
    ):
        yield ports
