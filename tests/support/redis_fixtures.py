"""Run a file's tests on a Redis server and again on a Redis Cluster.

A file asks for it with ``redis_url = server_and_cluster``, which overrides the session's fixture for its tests. A test
that holds for a single server only has ``@pytest.mark.parametrize("redis_url", ["server"], indirect=True)``.
"""

from contextlib import closing

import pytest

from winnow.store.connection import connect


@pytest.fixture(scope="module", params=["server", "cluster"])
def server_and_cluster(request: pytest.FixtureRequest, redis_url: str) -> str:
    """The URL of the session's Redis server, then of its Redis Cluster, emptied: files share the names of users."""
    if request.param == "server":
        return redis_url
    url: str = request.getfixturevalue("redis_cluster_url")
    with closing(connect(url)) as client:
        client.flushall()
    return url
