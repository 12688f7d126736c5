"""CPU time, latency and throughput of this version, beside an earlier one and the served floor."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.common.load_plan import K
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest
from benchmarks.cost.blocks import FIGURES, PATIENT_MS, LoadShape, alternate, ratio, rows_of, run
from benchmarks.cost.served import Served, serve
from benchmarks.latency.floor import Ask, floor, over_triton
from winnow import protocols
from winnow.release import Release

AFTER, BEFORE = "after", "before"
USERS, TURNS, BLOCK_S = 300, 5, 4.0

_OVERLOAD_MS = 200
"""The server's own default deadline: admission refuses most of 64 clients, so that it holds."""

ONE, EIGHT, MANY = LoadShape("v1", 1), LoadShape("v1", 8), LoadShape("v1", 64, _OVERLOAD_MS)
SHAPES = (ONE, EIGHT, MANY, LoadShape("v2", 1), LoadShape("grpc", 1))

_TARGETS = {
    (EIGHT, "CPU, all processes"): "<= 0.45",
    (EIGHT, "CPU, transformer"): "<= 0.35",
    (ONE, "p50"): "<= 0.7",
    (EIGHT, "throughput"): ">= 2",
    (MANY, "throughput"): ">= 1",
}
_FLOOR_TURNS, _FLOOR_CALLS, _DEBUGGED = 5, 100, 20


def measure(before: Path | None) -> list[Row]:
    """Serve the newest release with this version and, where it is given, with another checkout's.

    Args:
        before: the other checkout.

    Raises:
        WinnowError: there is no release, or a stack did not start.
    """
    release = newest()
    users = active_users(release, USERS)
    with ExitStack() as exits:
        stacks = [exits.enter_context(serve(AFTER, release))]
        if before is not None:
            stacks.append(exits.enter_context(serve(BEFORE, release, before)))
        blocks = alternate(stacks, SHAPES, users, TURNS, BLOCK_S)
        rows = rows_of(blocks) + _above_floor(stacks[0], release, users)
    if before is not None:
        for shape in SHAPES:
            for label, (figure, _) in FIGURES.items():
                value = ratio(blocks, shape, AFTER, BEFORE, figure)
                rows.append(row(f"{shape}, {label}, after / before", value, "x", _TARGETS.get((shape, label), "")))
    return rows


def _above_floor(stack: Served, release: Release, users: Sequence[str]) -> list[Row]:
    """The latency of one connection beside the served floor's, block by block."""
    floors, served = [], []
    with over_triton(release, stack.ports) as triton:
        ask = floor(release, list(users), stack.ports.redis, _ranked(stack, users), triton)
        _median_ms(ask, users)
        for _ in range(_FLOOR_TURNS):
            floors.append(_median_ms(ask, users))
            served.append(run(stack, ONE, users, BLOCK_S / 2))
    above = statistics.median(block.p50 / lowest for block, lowest in zip(served, floors, strict=True))
    return [
        row("served floor, p50", statistics.median(floors), "ms"),
        row(f"{ONE}, p50 / served floor", above, "x", "<= 1.35"),
    ]


def _median_ms(ask: Ask, users: Sequence[str]) -> float:
    times = []
    for turn in range(_FLOOR_CALLS):
        started = time.perf_counter()
        ask(users[turn % len(users)])
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _ranked(stack: Served, users: Sequence[str]) -> int:
    """The median number of candidates that the ranker gets."""
    counts = []
    with protocols.http(stack.ports.http) as endpoint:
        for user in users[:_DEBUGGED]:
            request = {"user_id": user, "k": K, "debug": True, "deadline_ms": PATIENT_MS}
            [answer] = protocols.over_http_v1(endpoint, [request])
            counts.append(sum("ranked" in candidate for candidate in answer["trace"]["candidates"]))
    return int(np.median(counts))
