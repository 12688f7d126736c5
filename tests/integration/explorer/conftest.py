"""The explorer of a tiny release that a real transformer serves."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.explorer.media import write_media
from tests.support.explorer.site import Site, exploring
from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server, serving_published
from winnow.release import Release
from winnow.store.publish import publish

NUMBER = 6301

Explore = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def explored_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with release 6301, some of whose items have pictures and sounds (:mod:`tests.support.explorer.media`)."""
    home = tmp_path_factory.mktemp("explored")
    arrays, documents = write_media(home / "shop", tmp_path_factory.mktemp("outside"))
    write_release(home / "releases", NUMBER, more=arrays, documents=documents)
    return home


@pytest.fixture(scope="module")
def explored_server(explored_home: Path, redis_url: str) -> Iterator[Server]:
    """The transformer of release 6301."""
    release = Release.open(explored_home / "releases" / str(NUMBER))
    publish(release.folder, redis_url, show_progress=False)
    with serving_published(release, redis_url, explored_home / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def site(explored_home: Path, explored_server: Server, redis_url: str) -> Iterator[Site]:
    """The explorer of release 6301; tests may change items and send events."""
    with exploring(explored_home, explored_server, redis_url, explored_home / "explorer.log") as running:
        yield running


@pytest.fixture
def explore(explored_home: Path, explored_server: Server, redis_url: str, tmp_path: Path) -> Explore:
    """Another explorer of release 6301, with flags of its own: ``with explore("--read-only") as site``."""
    return lambda *flags, **environment: exploring(
        explored_home, explored_server, redis_url, tmp_path / "explorer.log", *flags, **environment
    )
