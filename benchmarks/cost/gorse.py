"""Gorse beside Winnow: the CPU time of its lists, which it computes beforehand, and of its session call.

The executable is given; this module writes its configuration, starts it on loopback, loads the data of a release by its
REST API and waits until its models are trained and its lists are computed.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from benchmarks.common.load import Load
from benchmarks.common.load_plan import K, Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest
from benchmarks.cost.blocks import LoadShape, alternate, rows_of
from benchmarks.cost.served import serve
from winnow.local.processes import Process
from winnow.ports import LOOPBACK, Ports
from winnow.release import Release

_USERS, _BLOCK_S, _WARM_UP_S, _IN_SESSION = 300, 5.0, 2.0, 10
_ROWS_A_CALL, _CALL_S = 5000, 120.0
_IDLE_SHARE, _IDLE_S, _IDLE_TIMES, _TRAINED_S = 0.05, 5.0, 4, 1500.0
"""Trained: it used less than this share of a core, this often in a row; and the most seconds to wait for that."""

_CONFIGURATION = """
[database]
data_store = "{store}"
cache_store = "{store}"
[master]
host = "127.0.0.1"
port = {port}
http_host = "127.0.0.1"
http_port = {http_port}
n_jobs = 2
[recommend.data_source]
positive_feedback_types = {positive}
read_feedback_types = {read}
[[recommend.item-to-item]]
name = "neighbors"
type = "users"
[recommend.collaborative]
type = "mf"
[recommend.ranker]
type = "fm"
recommenders = ["latest", "collaborative", "item-to-item/neighbors"]
[blob]
uri = "{blob}"
"""
"""The rest is Gorse's default. Its item-to-item lists are what its session call adds up."""


class Running(NamedTuple):
    """Gorse and its database.

    Attributes:
        port: of its REST API.
        processes: those whose CPU time counts, by name.
    """

    port: int
    processes: dict[str, psutil.Process]

    def cpu_s(self) -> float:
        """CPU seconds so far, of all processes and of those that they started, ended ones included."""
        total = 0.0
        for process in self.processes.values():
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    total += times.user + times.system + (times.children_user + times.children_system)
        return total


def measure(gorse: Path) -> list[Row]:
    """Load the newest release's data into Gorse, and ask it and this version of Winnow for lists.

    Args:
        gorse: its executable.

    Raises:
        WinnowError: there is no release, or a process did not start.
    """
    release = newest()
    users = active_users(release, _USERS)
    with tempfile.TemporaryDirectory(prefix="winnow-gorse-") as folder, ExitStack() as exits:
        # Readable by the database's user, who is another one where this process is root's.
        Path(folder).chmod(0o755)
        store, database = _store(Path(folder), exits)
        with _running(gorse, release, Path(folder), store, database) as loading:
            _load(release, loading.port)
        # It trains with all data when it starts.
        with _running(gorse, release, Path(folder), store, database) as running:
            trained_s = _wait_until_idle(running)
            rows = [row(f"Gorse in {store.split(':')[0]}, CPU of training and of all lists", trained_s, "s")]
            for what, contents in (
                ("lists computed beforehand", [_list_request(user) for user in users]),
                ("session call", _session_requests(release, users)),
            ):
                for connections in (1, 8):
                    rows += _measured(running, f"Gorse, {what}, {connections} connections", contents, connections)
        # Winnow in the same run, after Gorse has stopped: its background work must not take part.
        with serve("Winnow", release) as stack:
            rows += rows_of(alternate([stack], (LoadShape("v1", 1), LoadShape("v1", 8)), users, 1, _BLOCK_S))
    return rows


def _measured(running: Running, what: str, contents: Sequence[str], connections: int) -> list[Row]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(contents, file)
        file.flush()

        def load(seconds: float) -> Load:
            return Load(Plan([running.port], [], seconds, clients=connections, prepared=file.name))

        with load(_WARM_UP_S) as warming:
            warming.answers()
        before = running.cpu_s()
        with load(_BLOCK_S) as measured:
            answers = measured.answers()
        spent_ms = 1000 * (running.cpu_s() - before)
    answered = int(answers.ok.sum())
    return [
        row(f"{what}, CPU", spent_ms / max(answered, 1), "ms"),
        row(f"{what}, p50", answers.where(answers.ok).percentile(50), "ms"),
        row(f"{what}, p99", answers.where(answers.ok).percentile(99), "ms"),
        row(f"{what}, throughput", answered / _BLOCK_S, "requests/s"),
        row(f"{what}, answered", answered / max(len(answers), 1), "share", ">= 1"),
    ]


def _list_request(user: str) -> str:
    return f"GET /api/recommend/{user}?n={K} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n"


def _session_requests(release: Release, users: Sequence[str]) -> list[str]:
    """The session call with each user's last positive events."""
    log, positive = _Log(release), set(_positive(release))
    place = {user: row for row, user in enumerate(log.users)}
    requests = []
    for user in users:
        events = [event for event in log.of(place[user]) if event["FeedbackType"] in positive]
        body = json.dumps(events[-_IN_SESSION:])
        head = f"POST /api/session/recommend?n={K} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}")
    return requests


def _load(release: Release, port: int) -> None:
    """Insert users, items and events."""
    words = release.vocabularies[release.schema.item[0].name]
    width = release.schema.item[0].width
    categories = np.asarray(release.array("item_rows")["categorical"])[1:, :width].tolist()
    items = [
        {"ItemId": item, "Timestamp": _moment(0), "Categories": [words[code] for code in codes if code]}
        for item, codes in zip(release.strings("item_ids")[1:].tolist(), categories, strict=True)
    ]
    log = _Log(release)
    users = [{"UserId": user} for user in log.users]
    events = [event for user in range(len(users)) for event in log.of(user)]
    with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=_CALL_S) as http:
        for path, rows in (("/api/users", users), ("/api/items", items), ("/api/feedback", events)):
            for start in range(0, len(rows), _ROWS_A_CALL):
                http.post(path, json=rows[start : start + _ROWS_A_CALL]).raise_for_status()


class _Log:
    """The events of a release's users, as Gorse takes them."""

    def __init__(self, release: Release) -> None:
        self._items = release.strings("item_ids")[:].tolist()
        self._kinds = release.schema.events
        self._columns = [np.asarray(release.array(name)) for name in ("item", "event", "timestamp")]
        self._offsets = release.array("offsets").tolist()
        self.users: list[str] = release.array("user_ids").tolist()

    def of(self, user: int) -> list[dict[str, Any]]:
        begin, end = self._offsets[user : user + 2]
        return [
            {
                "FeedbackType": self._kinds[event - 1],
                "UserId": self.users[user],
                "ItemId": self._items[item],
                "Value": 1.0,
                "Timestamp": _moment(timestamp),
            }
            for item, event, timestamp in zip(*(column[begin:end].tolist() for column in self._columns), strict=True)
        ]


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _positive(release: Release) -> list[str]:
    schema = release.schema
    return [event for event, value in zip(schema.events, schema.event_values, strict=True) if value > 0]


@contextmanager
def _running(
    gorse: Path, release: Release, folder: Path, store: str, database: dict[str, psutil.Process]
) -> Iterator[Running]:
    ports = Ports.free()
    configuration, cache = folder / "gorse.toml", folder / "cache"
    cache.mkdir(exist_ok=True)
    configuration.write_text(
        _CONFIGURATION.format(
            store=store,
            port=ports.grpc,
            http_port=ports.http,
            positive=json.dumps(_positive(release)),
            read=json.dumps([event for event in release.schema.events if event not in _positive(release)]),
            blob=folder / "blob",
        )
    )
    address = f"http://{LOOPBACK}:{ports.http}/api/health/ready"
    process = Process(
        "gorse",
        [gorse.resolve(), f"--config={configuration}", f"--cache-path={cache}"],
        log=folder / "gorse.log",
        ready=lambda: _answers(lambda: httpx.get(address, trust_env=False, timeout=2.0)),
    )
    with process:
        yield Running(ports.http, {"gorse": psutil.Process(process.pid)} | database)


def _answers(call: Callable[[], httpx.Response]) -> bool:
    try:
        return call().is_success
    except httpx.HTTPError:
        return False


def _store(folder: Path, exits: ExitStack) -> tuple[str, dict[str, psutil.Process]]:
    """The address of PostgreSQL, started here where it is installed, else of SQLite; and its process."""
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        return f"sqlite://{folder / 'gorse.db'}", {}
    home, port = folder / "postgres", Ports.free().redis
    home.mkdir()
    # PostgreSQL refuses to run as root.
    other: list[str] = []
    if os.getuid() == 0:
        shutil.chown(home, "nobody")
        other = ["setpriv", "--reuid=nobody", "--clear-groups"]
    subprocess.run(  # noqa: S603
        [*other, initdb, f"--pgdata={home}", "--username=gorse", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=home,
    )
    command = [*other, server, "-D", str(home), "-p", str(port), "-h", LOOPBACK, "-k", str(home)]
    # PostgreSQL writes its state there.
    state = home / "postmaster.pid"
    process = Process(
        "postgres",
        command,
        log=folder / "postgres.log",
        ready=lambda: state.exists() and state.read_text().split()[-1:] == ["ready"],
    )
    exits.enter_context(process)
    address = f"postgres://gorse@{LOOPBACK}:{port}/postgres?sslmode=disable"
    return address, {"postgres": psutil.Process(process.pid)}


def _wait_until_idle(running: Running) -> float:
    """CPU seconds that the processes use until they are idle."""
    start, idle = time.monotonic(), 0
    first = last = running.cpu_s()
    while idle < _IDLE_TIMES and time.monotonic() - start < _TRAINED_S:
        time.sleep(_IDLE_S)
        now = running.cpu_s()
        idle = idle + 1 if now - last < _IDLE_SHARE * _IDLE_S else 0
        last = now
    return last - first
