"""Two processes that serve one larger release."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server, serving_published
from winnow.store.publish import publish


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[Server, Server]]:
    """Release 6021 of 1,500 items, served by two processes."""
    folder = tmp_path_factory.mktemp("pages")
    release = write_release(folder, 6021, items=1500)
    publish(release.folder, redis_url, show_progress=False)
    with ExitStack() as running:
        one, other = (
            running.enter_context(serving_published(release, redis_url, folder / f"{n}.log", reuse_s=5.0))
            for n in range(2)
        )
        yield one, other
