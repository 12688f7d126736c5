"""A stack moves to the promoted release and back while clients of every protocol ask it, with real processes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Winnow, free_base
from tests.support.lifecycle.homes import add_copy
from tests.support.lifecycle.steady_clients import steady_clients
from tests.support.until import until
from winnow.lifecycle.live import live
from winnow.ports import Ports

USERS = ["u1", "u2", "u3"]


@pytest.fixture
def copies(winnow: Winnow, tmp_path: Path) -> Iterator[Winnow]:
    """A home with two equal releases, and a third whose ranker cannot be loaded."""
    home = tmp_path / "home"
    for number, damaged in ((1, ""), (2, ""), (3, "ranker")):
        add_copy(winnow.release(), winnow.home / "model_repository" / "1", home, number, damaged)
    command = Winnow(home)
    try:
        yield command
    finally:
        command("down")


def test_a_stack_moves_to_the_promoted_release_and_back(copies: Winnow) -> None:
    home = str(copies.home)
    assert copies("promote", "--no-gate", "1").stdout.startswith("release 1 is live. No stack is running")
    ports = Ports.at(base := free_base())
    started = copies("up", "--detach", f"--port-base={base}")
    assert started.stdout.startswith("release 1 at "), started.stderr + started.stdout
    with steady_clients(ports.http, ports.grpc, USERS) as clients:
        until(lambda: all(steady.answers for steady in clients))
        promoted = copies("promote", "--no-gate", "2")
        assert promoted.returncode == 0, promoted.stderr
        assert re.fullmatch(
            rf"release 2 is live, and served at http://127\.0\.0\.1:{base}; `winnow rollback` goes back to 1\n",
            promoted.stdout,
        )
        until(lambda: all(steady.answers[-1].release == 2 for steady in clients))
        assert "2" in copies("releases").stdout
        back = copies("rollback")
        assert back.stdout.startswith("release 1 is live, and served at"), back.stderr
        until(lambda: all(steady.answers[-1].release == 1 for steady in clients))
        refused = copies("promote", "--no-gate", "3")
        assert refused.returncode == 1
        assert "release 1 stays live: triton" in refused.stderr
        pin = live(home)
        assert pin is not None
        assert (pin.release, pin.previous) == (1, None)
        served = len(clients[0].answers)
        until(lambda: len(clients[0].answers) > served)
    for steady in clients:
        assert not steady.errors, (steady.protocol, steady.errors[:3])
        assert steady.releases == [1, 2, 1], steady.protocol
        assert not any(answer.degraded for answer in steady.answers), steady.protocol
