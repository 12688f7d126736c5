"""A Redis server of its own, for tests that count or trim entries of streams, which the session's Redis shares."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.local import redis
from winnow.ports import Ports


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    """The URL of a server with its data and its log in ``folder``."""
    port = Ports.free().redis
    with redis.server(folder / "redis", port, folder / "redis.log"):
        yield redis.url(port)
