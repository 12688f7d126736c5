"""Bloom filters: error rates, lookup times, sizes, and a sidecar that is killed."""

import importlib
import math
import tempfile
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.rows import Row, row
from tests.support.sidecar.crash import PRODUCERS, crash_a_sidecar
from winnow.bloom import categories
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hashes
from winnow.bloom.seen import FALSE_POSITIVE_RATE, INITIAL_CAPACITY, WINDOW_MS, SeenFilter
from winnow.local import redis
from winnow.ports import Ports

MET = 1000
CANDIDATES = 500
ITEMS = 200_000
EACH = 1000
_NOW = 1_760_000_000_000
_REPEATS, _CALLS = 9, 50

IDS = [f"item-{number}" for number in range(ITEMS)]


def measure() -> list[Row]:
    """Rows of error rates, times, sizes, and the killed sidecar."""
    table = item_hashes(IDS)
    values = list(table)
    return [*_errors(values), *_times(values), *_sizes(values), *_survival()]


def _errors(values: list[int]) -> list[Row]:
    """False-positive rates relative to the configured ones, each at the end of its capacity."""
    table = item_hashes(IDS)
    full = INITIAL_CAPACITY
    one, both, grown = SeenFilter(), SeenFilter(), SeenFilter()
    one.update(values[:full], _NOW)
    for window, seen in ((0, both), (1, both)):
        seen.update(values[window * full : (window + 1) * full], _NOW + window * WINDOW_MS)
    # Five layers in each window, each twice as large as the one before.
    for window in range(2):
        grown.update(values[window * 31 * full : (window + 1) * 31 * full], _NOW + window * WINDOW_MS)
    unmet = np.arange(62 * full, ITEMS, dtype=np.int32)
    touched = CategoryFilter()
    touched.update(values[: categories.INITIAL_CAPACITY])
    ratio = "false positives / configured"
    rates = {
        "one full window": one.contains(unmet, table).mean() / FALSE_POSITIVE_RATE,
        "two full windows": both.contains(unmet, table).mean() / FALSE_POSITIVE_RATE,
        "two windows of five full layers": grown.contains(unmet, table).mean() / FALSE_POSITIVE_RATE,
        "categories, full": touched.contains(unmet, table).mean() / categories.FALSE_POSITIVE_RATE,
    }
    return [row(f"{name}: {ratio}", float(rate), "x", "<= 1.5") for name, rate in rates.items()]


def _times(values: list[int]) -> list[Row]:
    """Microseconds to look up the candidates, including reading the stored bytes; some candidates are seen."""
    table = item_hashes(IDS)
    rng = np.random.default_rng(0)
    items = rng.choice(ITEMS, CANDIDATES, replace=False).astype(np.int32)
    items[: CANDIDATES // 10] = rng.choice(MET, CANDIDATES // 10, replace=False)
    published = SeenFilter.of(values[:MET], _NOW)
    grown = SeenFilter()
    grown.update(values[: MET // 2], _NOW)
    grown.update(values[MET // 2 : MET], _NOW + WINDOW_MS)
    ours = {
        "one window": _microseconds(_lookup(published.to_bytes(), items, table)),
        "two windows grown to three layers each": _microseconds(_lookup(grown.to_bytes(), items, table)),
    }
    rows = [row(f"{CANDIDATES} candidates, {MET} seen, {name}", value, "us") for name, value in ours.items()]
    theirs = _pybloom(items)
    rows += [
        row(f"{CANDIDATES} candidates, {MET} seen, pybloom_live {name}", value, "us") for name, value in theirs.items()
    ]
    if theirs:
        rows += [
            row("one window / pybloom_live's one filter", ours["one window"] / theirs["BloomFilter"], "x", "<= 0.1"),
            row(
                "grown windows / pybloom_live's grown filter",
                ours["two windows grown to three layers each"] / theirs["ScalableBloomFilter"],
                "x",
                "<= 0.1",
            ),
        ]
    return rows


def _lookup(stored: bytes, items: NDArray[np.int32], table: Any) -> Callable[[], object]:
    return lambda: SeenFilter.from_bytes(stored).contains(items, table)


def _pybloom(items: NDArray[np.int32]) -> dict[str, float]:
    """The same with pybloom_live, without reading stored bytes; empty where it is not installed."""
    try:
        pybloom: Any = importlib.import_module("pybloom_live")
    except ImportError:
        return {}
    wanted = [IDS[item] for item in items.tolist()]
    times = {}
    for peer in (
        pybloom.BloomFilter(MET, FALSE_POSITIVE_RATE),
        pybloom.ScalableBloomFilter(INITIAL_CAPACITY, FALSE_POSITIVE_RATE),
    ):
        for name in IDS[:MET]:
            peer.add(name)
        times[type(peer).__name__] = _microseconds(partial(_ask, peer, wanted))
    return times


def _ask(peer: Any, wanted: list[str]) -> list[bool]:
    return [name in peer for name in wanted]


def _microseconds(work: Callable[[], object]) -> float:
    """The best of several rounds: other load on the machine only adds time."""
    return min(timeit.repeat(work, number=_CALLS, repeat=_REPEATS)) / _CALLS * 1e6


def _sizes(values: list[int]) -> list[Row]:
    """Bytes of a stored filter, beside the minimum of a Bloom filter: n log2(1 / p) / ln 2 / 8."""
    rows = []
    for met in (20, 200, 1000, 5000):
        followed = SeenFilter()
        followed.update(values[:met], _NOW)
        least = met * math.log2(1 / FALSE_POSITIVE_RATE) / math.log(2) / 8
        rows += [
            row(f"{met} met: fewest possible", least, "bytes"),
            row(f"{met} met: published", len(SeenFilter.of(values[:met], _NOW).to_bytes()), "bytes"),
            row(f"{met} met: grown by the sidecar", len(followed.to_bytes()), "bytes"),
        ]
    return rows


def _survival() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="winnow-bloom-") as scratch:
        folder, port = Path(scratch), Ports.free().redis
        with redis.server(folder / "redis", port, folder / "redis.log"):
            found = crash_a_sidecar(folder, redis.url(port), 1, EACH)
    of = f"{PRODUCERS} producers, 2 sidecars, one killed: "
    return [
        row(of + "events", found.events, "events"),
        row(of + "held by the killed one", found.taken_over, "events", ">= 1"),
        row(of + "false negatives", found.false_negatives, "items", "<= 0"),
        row(of + "lost", found.lost, "events", "<= 0"),
        row(of + "twice in a history", found.twice, "events", "<= 0"),
        row(of + "items miscounted as trending", found.miscounted, "items", "<= 0"),
        row(of + "until all is applied", found.seconds, "s"),
    ]
