"""What takes the place of a file's Redis: a server of a test's own, or a server and then a cluster.

``redis_url = server_and_cluster`` runs a file's tests on a Redis server and again on a Redis Cluster. A test that holds
for a single server only has ``@pytest.mark.parametrize("redis_url", ["server"], indirect=True)``.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from winnow.local import redis
from winnow.ports import Ports
from winnow.store.connection import connect


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    """The URL of a server with its data and its log in ``folder``, for tests that count or trim a stream's entries."""
    port = Ports.free().redis
    with redis.server(folder / "redis", port, folder / "redis.log"):
        yield redis.url(port)


@pytest.fixture(scope="module", params=["server", "cluster"])
def server_and_cluster(request: pytest.FixtureRequest, redis_url: str) -> str:
    """The URL of the file's Redis server, then of the session's Redis Cluster, emptied: files share names of users."""
    if request.param == "server":
        return redis_url
    url: str = request.getfixturevalue("redis_cluster_url")
    with closing(connect(url)) as client:
        client.flushall()
    return url
