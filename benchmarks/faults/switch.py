"""A running stack promotes a release and rolls back under load; publications and promotions are killed.

The load is clients of HTTP v1, HTTP v2 and gRPC that each ask one request after another. The items of the two releases
have different ids, so that an answer that mixed the releases would have items that its release does not know.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users
from benchmarks.scale.subjects import untrained_release
from benchmarks.scale.subjects.untrained_release import CatalogSize
from tests.support.lifecycle.killed import killed
from tests.support.lifecycle.steady_clients import SteadyClient, steady_clients
from winnow import home
from winnow.arrays.strings import Strings
from winnow.items.arrays import id_arrays
from winnow.lifecycle import live
from winnow.local.background import detach, down, followed
from winnow.local.stack_state import StackState
from winnow.ports import Ports
from winnow.release import MANIFEST, Release, sha256

SIZE = CatalogSize(items=300, users=200, events=3000)
ROUNDS, EACH, USERS = 5, 2, 12
STEADY_S = 2.0
KILLED = 50


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
    first, second = (_renamed(untrained_release.write(home.home(), SIZE, seed=n), f"{n}-") for n in (1, 2))
    users = active_users(first, USERS)
    one, two = first.manifest.number, second.manifest.number
    known = {each.manifest.number: set(each.strings("item_ids").tolist()) for each in (first, second)}
    live.promote(root, one)
    ports = Ports.free()
    detach(one, ports, show_progress=False)
    try:
        started = time.monotonic()
        state = _to(live.promote(root, two))
        cold_s = time.monotonic() - started
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
    mixed = sum(not known[answer.release].issuperset(answer.items) for answer in answers)
    for error in sorted({error for steady in clients for error in steady.errors}):
        sys.stderr.write(f"{error}\n")
    return [
        row("promotion of a release that is not warm", cold_s, "s"),
        row("memory of the warm release", memory, "MB"),
        row("promotions and rollbacks under load", 2 * ROUNDS, "switches"),
        row("requests meanwhile", len(answers), "requests"),
        row("errors", sum(len(steady.errors) for steady in clients), "requests", "<= 0"),
        row("answers with an item that their release does not have", mixed, "answers", "<= 0"),
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


def _renamed(release: Release, prefix: str) -> Release:
    """The release with a prefix before every item's id."""
    ids = id_arrays(["", *(f"{prefix}{item_id}" for item_id in release.strings("item_ids").tolist()[1:])])
    for name, array in ids.items():
        if isinstance(array, Strings):
            array.save(release.folder, name)
        else:
            np.save(release.folder / f"{name}.npy", array, allow_pickle=False)
    files = {name: sha256(release.folder / name) for name in release.manifest.files}
    manifest = release.manifest.model_copy(update={"files": files})
    (release.folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    return Release.open(release.folder)


def _last_asked(clients: list[SteadyClient], release: int) -> float:
    """When a release was last asked and answered."""
    return max(answer.asked for steady in clients for answer in steady.answers if answer.release == release)


def _memory(state: StackState) -> float:
    """Memory of the processes of the warm release, in MB: pages that several processes have count as shares."""
    groups: dict[int, list[psutil.Process]] = {}
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
    return sum(int(process.memory_full_info().pss) for processes in warm for process in processes) / 1e6


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
