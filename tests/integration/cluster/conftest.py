"""A real Redis Cluster takes the place of the session's one Redis."""

from collections.abc import Iterator

import pytest

from benchmarks.redis_cluster import Cluster, redis_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three masters of this file's own, which no test may harm."""
    with redis_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def redis_url(cluster: Cluster) -> str:
    """What takes the place of the session's Redis."""
    return cluster.url
