"""One small release, built by `winnow build` and served by the real processes, for all tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests.support.transformer_process import transformer
from winnow.ports import Ports
from winnow.release import Release

CLOSED = "http://127.0.0.1:9"
PROXIES = [
    name for scheme in ("http", "https", "all", "grpc") for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
]
BYPASSED = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
SHARED = {"served", "embedded", "each"}
"""Fixtures of the shared stack."""

CHANGING = ("test_clients.py", "test_readme.py")
"""Tests after whose calls the shared stack differs from release 1: examples that delete items and erase users."""

SIZES = ("--items=300", "--users=200", "--events=8000")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of this folder includes the build. Those that start a stack of their own in the home come first.

    A home serves one stack, and that of ``served`` runs until the end. Those that change its items and users come last.
    """
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker(pytest.mark.timeout(1200))
    in_order = iter(sorted(ours, key=_place))
    places = {id(item) for item in ours}
    items[:] = [next(in_order) if id(item) in places else item for item in items]


def _place(item: pytest.Item) -> int:
    if item.path.name in CHANGING:
        return 2
    return int(bool(SHARED & set(getattr(item, "fixturenames", ()))))


@dataclass(frozen=True)
class Winnow:
    """The ``winnow`` command in a home of its own.

    The environment names proxies that do not answer: traffic within one machine must not use them.
    """

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        left_out = ("REDIS_URL", "TRITON_URL", *BYPASSED)
        outside = {name: value for name, value in os.environ.items() if name not in left_out}
        return outside | dict.fromkeys(PROXIES, CLOSED) | {"WINNOW_HOME": str(self.home)}

    def __call__(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("winnow"), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout)

    def release(self, number: int = 1) -> Release:
        return Release.open(self.home / "releases" / str(number))


@dataclass(frozen=True)
class Served:
    """A running stack."""

    winnow: Winnow
    ports: Ports
    release: Release
    http: httpx.Client

    def recommend(self, user: str, request_id: str = "asked", **fields: object) -> dict[str, object]:
        body = {"instances": [{"user_id": user, **fields}]}
        response = self.http.post("/v1/models/recommender:predict", json=body, headers={"x-request-id": request_id})
        assert response.status_code == 200, response.text
        [answer] = response.json()["predictions"]
        return answer


@pytest.fixture(scope="session")
def winnow(tmp_path_factory: pytest.TempPathFactory) -> Winnow:
    """A home with release 1, built by the retraining pipeline."""
    command = Winnow(tmp_path_factory.mktemp("home"))
    built = command("build", *SIZES)
    assert built.returncode == 0, built.stderr
    assert built.stdout.startswith("release 1: ")
    return command


@pytest.fixture(scope="session")
def served(winnow: Winnow) -> Iterator[Served]:
    """Release 1, served in the background as ``winnow up --detach`` does."""
    base = free_base()
    started = winnow("up", "--detach", f"--port-base={base}")
    assert started.returncode == 0, started.stderr
    ports = Ports.at(base)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=30) as http:
            yield Served(winnow, ports, winnow.release(), http)
    finally:
        stopped = winnow("down")
        assert stopped.stdout == "stopped release 1\n", stopped.stderr


def free_base() -> int:
    """Nine free ports in a row."""
    for base in range(20_000, 30_000, 10):
        ports = Ports.at(base)
        try:
            ports.check_free(list(vars(ports)))
        except Exception:
            continue
        return base
    raise RuntimeError("no nine free ports in a row")


@pytest.fixture(scope="session")
def embedded(served: Served) -> Iterator[Served]:
    """Release 1, served by one more transformer of the same stack, which computes the models itself."""
    release, grpc = served.release, Ports.free().grpc
    redis = f"redis://127.0.0.1:{served.ports.redis}/0"
    repository = served.winnow.home / "model_repository" / str(release.manifest.number)
    with (
        transformer(release, served.ports, redis, f"--grpc_port={grpc}", repository=repository) as (_, port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http,
    ):
        yield Served(served.winnow, replace(served.ports, http=port, grpc=grpc), release, http)


@pytest.fixture(params=["served", "embedded"])
def each(request: pytest.FixtureRequest) -> Served:
    """The stack with Triton, and its transformer without: for tests of the whole funnel."""
    server: Served = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def active_users(winnow: Winnow) -> Callable[[int], list[str]]:
    """Users with a history, the most active first."""
    release = winnow.release()
    offsets = release.array("offsets")
    order = (offsets[1:] - offsets[:-1]).argsort()[::-1]

    def first(count: int) -> list[str]:
        names: list[str] = release.array("user_ids")[order[:count]].tolist()
        return names

    return first


@pytest.fixture
def free_ports() -> int:
    """The first of eight free ports in a row."""
    return free_base()
