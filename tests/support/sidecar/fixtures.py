"""Fixtures of the tests around the sidecar: a folder's ``conftest.py`` imports the ones that it uses."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.support.sidecar.process import small_release
from winnow.release import Release
from winnow.store.connection import Client, connect
from winnow.store.publish import publish

_numbers = count(8001)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """An unpublished release with a number of its own."""
    return small_release(tmp_path, next(_numbers))


@pytest.fixture
def published(release: Release, redis_url: str) -> Release:
    """A published release."""
    publish(release.folder, redis_url, show_progress=False)
    return release


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """A connection to Redis."""
    with closing(connect(redis_url)) as connected:
        yield connected
