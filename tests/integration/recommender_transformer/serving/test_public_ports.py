"""Two transformers of different releases take the public ports from each other, under load of every protocol."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.lifecycle.steady_clients import SteadyClient, steady_clients
from tests.support.paths import ROOT
from tests.support.tiny_release import write_release
from tests.support.until import until
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports
from winnow.store.publish import publish

USERS = [f"user-{index}" for index in range(8)]
ROUNDS = 4
ONE, TWO = 7101, 7102
ITEMS = {ONE: "first-", TWO: "second-"}


@dataclass(frozen=True)
class Transformer:
    """A transformer with a standby port."""

    process: Process
    standby: int

    def take(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)
        until(lambda: http_ok(self.standby, "/listening"))

    def leave(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR2)
        until(lambda: not http_ok(self.standby, "/listening"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[Ports, Transformer, Transformer]]:
    """Ports, and the transformers of two releases, whose items have different ids."""
    folder = tmp_path_factory.mktemp("releases")
    public = Ports.free()
    transformers = []
    with ExitStack() as exits:
        for number, item in ITEMS.items():
            release = write_release(folder, number, item=item)
            publish(release.folder, redis_url, show_progress=False)
            standby = Ports.free().http
            command = [sys.executable, "-m", "tests.support.serve_tiny", str(release.folder), redis_url]
            settings = f'{{"standby_port": {standby}, "host": "127.0.0.1"}}'
            process = Process(
                f"transformer {number}",
                [*command, str(public.http), str(public.grpc), settings],
                log=folder / f"{number}.log",
                ready=lambda standby=standby: http_ok(standby, "/v2/models/recommender/ready"),
                environment=os.environ | {"PYTHONPATH": str(ROOT)},
            )
            transformers.append(Transformer(exits.enter_context(process), standby))
        yield public, *transformers


def check(clients: list[SteadyClient], expected: list[int]) -> None:
    """Every request was answered by one release, and every client saw the releases in their order."""
    for steady in clients:
        assert not steady.errors, f"{steady.protocol}: {steady.errors[:3]}"
        assert steady.releases == expected, steady.protocol
        for answer in steady.answers:
            assert answer.items
            assert all(item.startswith(ITEMS[answer.release]) for item in answer.items)


def test_no_request_is_lost_while_releases_take_over(pair: tuple[Ports, Transformer, Transformer]) -> None:
    public, first, second = pair
    assert not http_ok(public.http, "/v2/health/live"), "nothing listens before a transformer is told to"
    first.take()
    expected = [ONE]
    with steady_clients(public.http, public.grpc, USERS, each=2) as clients:
        until(lambda: all(steady.answers for steady in clients))
        now, other = first, second
        for _ in range(ROUNDS):
            other.take()
            now.leave()
            now, other = other, now
            release = TWO if now is second else ONE
            expected.append(release)
            until(lambda release=release: all(steady.answers[-1].release == release for steady in clients))
            time.sleep(0.2)
    check(clients, expected)


def test_a_connection_that_stays_idle_is_closed(pair: tuple[Ports, Transformer, Transformer]) -> None:
    public, first, second = pair
    first.take()
    with socket.create_connection(("127.0.0.1", public.http)) as idle:
        request = b"GET /v2/health/live HTTP/1.1\r\nHost: local\r\n\r\n"
        idle.sendall(request)
        idle.settimeout(30)
        answer = b""
        while not answer.endswith(b'{"live":true}'):
            answer += idle.recv(4096)
        second.take()
        first.leave()
        assert idle.recv(4096) == b"", "closed without a response"
