"""Real servers for whoever asks: started once per session, on free ports, gone at the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from winnow.local import redis
from winnow.local import triton as local_triton
from winnow.ports import Ports
from winnow.proxies import bypass_loopback

# What tests ask is on this machine.
bypass_loopback()

StartTriton = Callable[[Path], str]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis shared by the session's tests: use keys of your own."""
    folder = tmp_path_factory.mktemp("redis")
    port = Ports.free().redis
    with redis.server(folder, port, folder / "redis.log"):
        yield redis.url(port)


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTriton]:
    """Start a Triton that serves every version of every model of a repository; returns its gRPC ``host:port``."""
    with ExitStack() as exits:

        def start(repository: Path) -> str:
            folder = tmp_path_factory.mktemp("triton")
            ports = Ports.free()
            models = local_triton.models_in(repository)
            exits.enter_context(local_triton.server(repository, models, folder, ports=ports, log=folder / "triton.log"))
            return f"127.0.0.1:{ports.triton_grpc}"

        yield start
