"""The transformer's fixtures on a Redis Cluster."""

from collections.abc import Iterator

import pytest

from tests.support.redis_cluster import Cluster, redis_cluster
from tests.support.transformer_fixtures import models, published, recommend, release

__all__ = ["models", "published", "recommend", "release"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three masters; tests that kill or freeze a node start a cluster of their own."""
    with redis_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def redis_url(cluster: Cluster) -> str:
    """The cluster's URL, instead of a Redis server."""
    return cluster.url
