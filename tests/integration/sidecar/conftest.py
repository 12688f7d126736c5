"""A tiny release that a real Redis holds."""

from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.sidecars import tiny_release
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import publish

_numbers = count(8001)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A release nobody has published, with a number of its own."""
    return tiny_release(tmp_path, next(_numbers))


@pytest.fixture
def published(release: Release, redis_url: str) -> Release:
    """A release that Redis holds."""
    publish(release.folder, redis_url, show_progress=False)
    return release


@pytest.fixture
def client(redis_url: str) -> Redis:
    """A connection to the Redis of the session."""
    return connect(redis_url)
