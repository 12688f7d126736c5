"""A running stack promotes a release and rolls back under load; publications and promotions are killed.

The load is clients of HTTP v1, HTTP v2 and gRPC that each ask one request after another. The two releases have random
weights of their own, so that they recommend different items: an answer that mixed them would be neither's.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users
from benchmarks.scale.subjects import untrained_release
from benchmarks.scale.subjects.untrained_release import CatalogSize
from tests.support.lifecycle.killed import killed
from tests.support.steady_clients import SteadyClient, steady_clients
from winnow import client, home
from winnow.errors import WinnowError
from winnow.lifecycle import live
from winnow.local.background import detach, down, followed
from winnow.local.stack_state import StackState
from winnow.ports import Ports

SIZE = CatalogSize(items=300, users=200, events=3000)
ROUNDS, EACH, USERS = 5, 3, 12
STEADY_S = 2.0
KILLED = 50
TRIES, DEADLINE_MS = 10, 10_000


def measure() -> list[Row]:
    """Kill publications and promotions, then move a stack between two releases under load."""
    with tempfile.TemporaryDirectory(prefix="winnow-switch-") as folder:
        # First: a process with the threads of clients should not fork.
        rows = _killed(Path(folder))
        with _home(Path(folder) / "stack"):
            return rows + _switched()


def _killed(folder: Path) -> list[Row]:
    rounds = list(killed(folder, KILLED))
    moved = sum(after == promoted for _, promoted, after in rounds)
    strange = sum(after not in (before, promoted) for before, promoted, after in rounds)
    return [
        row("publications and promotions killed", len(rounds), "rounds"),
        row("of these, after the pin had moved", moved, "rounds"),
        # Otherwise `killed` ends with an error.
        row("live release not whole", 0, "rounds", "<= 0"),
        row("live release neither the old nor the new one", strange, "rounds", "<= 0"),
    ]


def _switched() -> list[Row]:
    root = str(home.home())
    first, second = (untrained_release.write(home.home(), SIZE, seed=seed) for seed in (1, 2))
    users = active_users(first, USERS)
    one, two = first.manifest.number, second.manifest.number
    live.promote(root, one)
    ports = Ports.free()
    detach(one, ports, show_progress=False)
    try:
        lists = _lists(ports, users, one)
        started = time.monotonic()
        state = _to(live.promote(root, two))
        cold_s = time.monotonic() - started
        lists |= _lists(ports, users, two)
        memory = _memory(state)
        _to(live.rollback(root))
        back: list[float] = []
        forth: list[float] = []
        with steady_clients(ports.http, ports.grpc, users, EACH) as clients:
            time.sleep(STEADY_S)
            for _ in range(ROUNDS):
                for times, gone in ((forth, one), (back, two)):
                    began = time.monotonic()
                    _to(live.promote(root, two) if gone == one else live.rollback(root))
                    time.sleep(STEADY_S)
                    times.append(_last_asked(clients, gone) - began)
    finally:
        down()
    answers = [answer for steady in clients for answer in steady.answers]
    expected = [one, *[two, one] * ROUNDS]
    whole = [answer for answer in answers if not answer.degraded]
    mixed = sum(answer.items != lists[answer.release, answer.user] for answer in whole)
    return [
        row("promotion of a release that is not warm", cold_s, "s"),
        row("memory of the warm release", memory, "MB"),
        row("promotions and rollbacks under load", 2 * ROUNDS, "switches"),
        row("requests meanwhile", len(answers), "requests"),
        row("errors", sum(len(steady.errors) for steady in clients), "requests", "<= 0"),
        row("answers that are of neither release alone", mixed, "answers", "<= 0"),
        row("degraded answers", sum(bool(answer.degraded) for answer in answers), "answers"),
        row(
            "clients that saw the releases in another order",
            sum(steady.releases != expected for steady in clients),
            "clients",
            "<= 0",
        ),
        row("slowest promotion of a warm release, until its last answer of the old one", max(forth), "s"),
        row("slowest rollback, until the last answer of the release before", max(back), "s", "<= 2"),
        row("longest wait for an answer", max(answer.received - answer.asked for answer in answers) * 1000, "ms"),
    ]


def _to(pin: live.Live) -> StackState:
    """Wait until the stack serves the live release."""
    state = followed(pin, show_progress=False)
    assert state is not None
    return state


def _lists(ports: Ports, users: list[str], release: int) -> dict[tuple[int, str], tuple[str, ...]]:
    """The lists of a release, which is served without load."""
    with client.http(ports.http) as http:
        return {(release, user): _list(http, user, release) for user in users}


def _list(http: httpx.Client, user: str, release: int) -> tuple[str, ...]:
    for _ in range(TRIES):
        [answer] = client.over_http_v1(http, [{"user_id": user, "k": 5, "deadline_ms": DEADLINE_MS}])
        assert answer["release"] == release
        if not answer["degraded"]:
            return tuple(item["item_id"] for item in answer["items"])
    raise WinnowError(f"{user}: every answer of release {release} is degraded: {answer['degraded']}")


def _last_asked(clients: list[SteadyClient], release: int) -> float:
    """When a release was last asked and answered."""
    return max(answer.asked for steady in clients for answer in steady.answers if answer.release == release)


def _memory(state: StackState) -> float:
    """Memory of the processes of the warm release, in MB: pages that several processes have count as shares."""
    groups = {}
    for process in psutil.Process(state.pid).children(recursive=True):
        groups.setdefault(os.getsid(process.pid), []).append(process)
    names = [" ".join(psutil.Process(session).cmdline()) for session in groups]
    # Of the two chains' Tritons the warm one listens on other ports than the state names.
    warm = [
        processes
        for processes, name in zip(groups.values(), names, strict=True)
        if f"releases/{state.warm}" in name
        or ("tritonserver" in name and f"--grpc-port={state.ports.triton_grpc}" not in name)
    ]
    return sum(process.memory_full_info().pss for processes in warm for process in processes) / 1e6


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = os.environ.get("WINNOW_HOME")
    os.environ["WINNOW_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["WINNOW_HOME"]
        else:
            os.environ["WINNOW_HOME"] = before
