"""Markers by folder, and real servers on free ports: a Redis per file, the others once per session."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from winnow.local import milvus, redis
from winnow.local import triton as local_triton
from winnow.ports import Ports
from winnow.proxies import bypass_loopback

# Asserts in shared code show their values, too.
pytest.register_assert_rewrite("tests.support")

# Tests talk to servers on this machine only.
bypass_loopback()

StartTriton = Callable[[Path], str]

TESTS = Path(__file__).parent
FOLDERS = ("unit", "integration", "e2e")
SLOW = 60
"""How many other tests a slow one weighs."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test with its folder's name; in a process of several, put the files that take long first.

    The processes take files in this order, so that they end at about the same time.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)
    if hasattr(config, "workerinput"):
        weights: Counter[str] = Counter()
        for item in items:
            weights[scope(item.nodeid)] += SLOW if item.get_closest_marker("slow") else 1
        items.sort(key=lambda item: -weights[scope(item.nodeid)])


def scope(nodeid: str) -> str:
    """What goes to one process: a file, because its tests share fixtures; all of ``e2e/``, which shares a release."""
    file = nodeid.partition("::")[0]
    return "e2e" if file.startswith("tests/e2e/") else file


class ByFile(LoadFileScheduling):
    """Gives each :func:`scope` to one process, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """How tests are distributed with ``-n``."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of the file: events, changes of the catalog and rules belong to no release.

    Within a file, every test uses releases and users of its own.
    """
    folder = tmp_path_factory.mktemp("redis")
    port = Ports.free().redis
    with redis.server(folder, port, folder / "redis.log"):
        yield redis.url(port)


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus Lite server shared by the session's tests: every test uses releases of its own."""
    folder = tmp_path_factory.mktemp("milvus")
    port = Ports.free().milvus
    with milvus.server(folder, port, folder / "milvus.log"):
        yield milvus.url(port)


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTriton]:
    """Start a Triton that serves every version of every model of a repository; gives its gRPC ``host:port``."""
    with ExitStack() as exits:

        def start(repository: Path) -> str:
            folder = tmp_path_factory.mktemp("triton")
            ports = Ports.free()
            models = local_triton.models_in(repository)
            exits.enter_context(local_triton.server(repository, models, folder, ports=ports, log=folder / "triton.log"))
            return f"127.0.0.1:{ports.triton_grpc}"

        yield start
