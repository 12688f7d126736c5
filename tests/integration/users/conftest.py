"""A tiny release on a Redis of its own: a scan of everything must not see other tests' data."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.redis_fixtures import own_redis
from tests.support.sidecar.fixtures import client, published
from tests.support.tiny_release import write_release
from tests.support.transformer_fixtures import serve_published
from winnow.release import Release

__all__ = ["client", "published", "serve_published"]

_numbers = count(9101)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own."""
    with own_redis(tmp_path) as url:
        yield url


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """An unpublished release."""
    return write_release(tmp_path, next(_numbers))
