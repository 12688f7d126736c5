"""What the explorer costs: p50 of every page, the memory of its process, and its effect on the recommender's p50."""

import html
import itertools
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import httpx
import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, serving
from winnow import protocols
from winnow.errors import WinnowError
from winnow.local.infrastructure import start_explorer
from winnow.local.processes import Process
from winnow.ports import LOOPBACK, Ports
from winnow.release import Release

PAGES = 30
"""Times that each page is opened; the first time counts apart, because it opens the arrays of the release."""
TURNS = 6
REQUESTS = 150
BETWEEN_PAGES_S = 1.0
ALL_CARDS = "ask, for 500 items, every card shown"
"""A page that eight clicks lead to, which has no target."""
PART = {"hx-request": "true", "hx-target": "detail"}
"""Headers of a click that replaces a part of a page."""


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and measure its explorer.

    Raises:
        WinnowError: there is no release, or a page or a request is refused.
    """
    served = newest()
    users = active_users(served, 200)
    with serving(served) as ports, TemporaryDirectory(prefix="winnow-bench-") as folder:
        rows = _pages(ports, Path(folder), _addresses(served, users[0]))
        rows += _recommender(ports, Path(folder), users)
    return rows


def _addresses(release: Release, user: str) -> Mapping[str, str]:
    """Page -> its address."""
    number, item = release.manifest.number, str(release.strings("item_ids")[1])
    asked = {"user": user, "k": 12}
    return {
        "overview": "/",
        "people": "/people?" + urlencode({"q": user[:2]}),
        "a person": "/person?" + urlencode({"user": user}),
        "ask, for a user": "/ask?" + urlencode(asked),
        "ask, for 500 items": "/ask?" + urlencode(asked | {"k": 500}),
        ALL_CARDS: "/ask?" + urlencode(asked | {"k": 500, "shown": 500}),
        "ask, like an item": "/ask?" + urlencode({"like": item}),
        "the catalog": "/catalog",
        "a search": "/catalog?" + urlencode({"q": item}),
        "an item": "/item?" + urlencode({"id": item}),
        "the map": "/map",
        "health": "/health",
        "two settings beside each other": "/compare?" + urlencode({"user": user, "diversity2": 0}),
        "releases": "/releases",
        "a release": f"/releases/{number}",
    }


@contextmanager
def _explorer(ports: Ports, folder: Path) -> Iterator[Process]:
    with ExitStack() as exits:
        process = start_explorer(exits, folder, LOOPBACK, ports, f"redis://{LOOPBACK}:{ports.redis}/0")
        process.wait_until_ready()
        yield process


def _pages(ports: Ports, folder: Path, addresses: Mapping[str, str]) -> list[Row]:
    rows = []
    with (
        _explorer(ports, folder) as process,
        httpx.Client(base_url=f"http://{LOOPBACK}:{ports.explorer}", timeout=30) as site,
    ):
        for name, address in addresses.items():
            times = [_open(site, address) for _ in range(PAGES + 1)]
            p50 = float(np.median(times[1:]))
            rows.append(row(f"{name}: p50", p50, "ms", "" if name == ALL_CARDS else "<= 150"))
            rows.append(row(f"{name}: the first time", times[0], "ms"))
        rows += _clicks(site, addresses["ask, for a user"])
        memory = psutil.Process(process.pid).memory_full_info()
        rows.append(row("memory of the process after all pages", memory.rss / 1e6, "MB", "<= 150"))
        rows.append(row("of which no other process shares", memory.uss / 1e6, "MB"))
    return rows


def _clicks(site: httpx.Client, address: str) -> list[Row]:
    """A click on a stage of the funnel and one on an item, which replace a part of the page."""
    text = site.get(address).text
    rows = []
    for name, words in {"a click on a stage: p50": "stage=ranked", "a click on an item: p50": "item=[^&#]*"}.items():
        found = re.search(rf'href="(/ask\?[^"#]*{words})#detail"', text)
        assert found, f"{address} has no link with {words}"
        times = [_open(site, html.unescape(found[1]), PART) for _ in range(PAGES + 1)]
        rows.append(row(name, float(np.median(times[1:])), "ms", "<= 150"))
    return rows


def _open(site: httpx.Client, address: str, headers: Mapping[str, str] | None = None) -> float:
    """Milliseconds until a page, or a part of one, is here."""
    started = time.perf_counter()
    response = site.get(address, headers=headers)
    taken = (time.perf_counter() - started) * 1000
    if response.status_code != 200:
        raise WinnowError(f"{address}: {response.status_code}: {response.text[:300]}")
    return taken


def _recommender(ports: Ports, folder: Path, users: list[str]) -> list[Row]:
    """p50 of plain requests in turns: without an explorer, with one, and with one that has a visitor."""
    times: dict[str, list[float]] = {"without": [], "with": [], "visited": []}
    asked = itertools.cycle(users)
    with protocols.http(ports.http) as endpoint:
        for _ in range(TURNS):
            times["without"].append(_p50(endpoint, asked))
            with _explorer(ports, folder):
                times["with"].append(_p50(endpoint, asked))
                with _visitor(ports, users):
                    times["visited"].append(_p50(endpoint, asked))
    without = float(np.median(times["without"]))
    beside = {name: float(np.median(np.divide(taken, times["without"]))) for name, taken in times.items()}
    return [
        row("recommender's p50 without an explorer", without, "ms"),
        row("with one, beside without", beside["with"], "x", "<= 1.05"),
        row("with one that opens a page a second", beside["visited"], "x"),
    ]


def _p50(endpoint: httpx.Client, users: Iterator[str]) -> float:
    times = []
    for _ in range(REQUESTS):
        instance = {"user_id": next(users), "deadline_ms": 5000}
        started = time.perf_counter()
        protocols.over_http_v1(endpoint, [instance])
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


@contextmanager
def _visitor(ports: Ports, users: list[str]) -> Iterator[None]:
    """A visitor who opens a page a second."""
    left = threading.Event()

    def visit() -> None:
        with httpx.Client(base_url=f"http://{LOOPBACK}:{ports.explorer}", timeout=30) as site:
            for user in itertools.cycle(users):
                _open(site, "/ask?" + urlencode({"user": user}))
                if left.wait(BETWEEN_PAGES_S):
                    return

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield
    finally:
        left.set()
        visitor.join()
