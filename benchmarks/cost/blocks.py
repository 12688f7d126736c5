"""Blocks of load on several stacks in turn: CPU time per recommendation, latency and throughput of each."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.load import Load
from benchmarks.common.load_plan import K, Plan
from benchmarks.common.rows import Row, row
from benchmarks.cost.served import TRANSFORMER, Served
from winnow import protocols
from winnow.errors import WinnowError

PATIENT_MS = 5000
"""Deadline of a request that is answered in full on a busy machine, too."""

_WARM_UP_S = 3.0


@dataclass(frozen=True)
class LoadShape:
    """A closed loop of clients.

    Attributes:
        protocol: ``v1`` or ``v2`` over HTTP, or ``grpc``, which has one connection.
        connections: clients, each with a connection that it keeps.
        deadline_ms: lowest deadline of the requests.
        repeats: whether every third request repeats an earlier one; all others are distinct.
        same: whether all requests are the same one.
    """

    protocol: str
    connections: int
    deadline_ms: int = PATIENT_MS
    repeats: bool = False
    same: bool = False

    def __str__(self) -> str:
        protocol = "gRPC" if self.protocol == "grpc" else f"HTTP {self.protocol}"
        stream = ", a third repeated" if self.repeats else ""
        return f"{protocol}, {self.connections} connection{'s' if self.connections > 1 else ''}{stream}"


@dataclass(frozen=True)
class Block:
    """What one block of load took.

    Attributes:
        cpu_ms: CPU milliseconds per recommendation, by process.
        p50: median latency of the answers, ms.
        p99: 99th percentile, ms.
        rate: answers a second.
        full: share of the answers that are not degraded.
        refused: share of the requests that were refused.
    """

    cpu_ms: Mapping[str, float]
    p50: float
    p99: float
    rate: float
    full: float
    refused: float

    @property
    def all_ms(self) -> float:
        """CPU milliseconds per recommendation, of all processes."""
        return sum(self.cpu_ms.values())


Figure = Callable[[Block], float]
FIGURES: dict[str, tuple[Figure, str]] = {
    "CPU, all processes": (lambda block: block.all_ms, "ms"),
    "CPU, transformer": (lambda block: block.cpu_ms.get(TRANSFORMER, 0.0), "ms"),
    "p50": (lambda block: block.p50, "ms"),
    "p99": (lambda block: block.p99, "ms"),
    "throughput": (lambda block: block.rate, "requests/s"),
}
"""Name -> figure of a block, and its unit."""

Blocks = dict[tuple[str, LoadShape], list[Block]]
"""Name of a stack, load -> its blocks, one a turn."""


def alternate(
    stacks: Sequence[Served], shapes: Sequence[LoadShape], users: Sequence[str], turns: int, seconds: float
) -> Blocks:
    """Run every load on every stack in turn, several times; every other turn in the reverse order.

    Args:
        stacks: running stacks.
        shapes: the loads.
        users: ids of the requests.
        turns: blocks of each stack and load.
        seconds: duration of a block.

    Raises:
        WinnowError: no request of a block was answered.
    """
    for stack in stacks:
        for shape in shapes:
            run(stack, shape, users, _WARM_UP_S)
    blocks: Blocks = {(stack.name, shape): [] for stack in stacks for shape in shapes}
    for turn in range(turns):
        for shape in shapes:
            for stack in stacks if turn % 2 == 0 else reversed(stacks):
                blocks[stack.name, shape].append(run(stack, shape, users, seconds))
    return blocks


def run(stack: Served, shape: LoadShape, users: Sequence[str], seconds: float) -> Block:
    """One block.

    Raises:
        WinnowError: no request was answered.
    """
    before = stack.cpu_s()
    if shape.protocol == "grpc":
        ms, full, refused = _over_grpc(stack, shape, users, seconds)
    else:
        plan = Plan(
            [stack.ports.http],
            users[:1] if shape.same else users,
            seconds,
            clients=shape.connections,
            fields={"deadline_ms": shape.deadline_ms},
            protocol=shape.protocol,
            distinct=not shape.same,
            repeats=shape.repeats,
        )
        with Load(plan) as load:
            answers = load.answers()
        ms, full, refused = answers.ms[answers.ok], answers.full[answers.ok].tolist(), 1 - float(answers.ok.mean())
    if not len(ms):
        raise WinnowError(f"{stack.name} answered no request: {shape}")
    after = stack.cpu_s()
    p50, p99 = np.percentile(ms, [50, 99])
    cpu_ms = {process: 1000 * (cpu_s - before.get(process, 0.0)) / len(ms) for process, cpu_s in after.items()}
    return Block(cpu_ms, float(p50), float(p99), len(ms) / seconds, float(np.mean(full)), refused)


def median(blocks: Iterable[Block], figure: Figure) -> float:
    """The median of a figure."""
    return statistics.median(map(figure, blocks))


def ratio(blocks: Blocks, shape: LoadShape, after: str, before: str, figure: Figure) -> float:
    """The median, over the turns, of a figure of one stack divided by the other's of the same turn."""
    pairs = zip(blocks[after, shape], blocks[before, shape], strict=True)
    return statistics.median(figure(one) / figure(other) for one, other in pairs)


def rows_of(blocks: Blocks) -> list[Row]:
    """Every figure of every stack and load, and the CPU time of each process."""
    rows = []
    for (name, shape), found in blocks.items():
        what = f"{name}: {shape}"
        rows += [row(f"{what}, {label}", median(found, figure), unit) for label, (figure, unit) in FIGURES.items()]
        for process in found[0].cpu_ms:
            if process != TRANSFORMER:
                cpu_ms = statistics.median(block.cpu_ms.get(process, 0.0) for block in found)
                rows.append(row(f"{what}, CPU, {process}", cpu_ms, "ms"))
        rows.append(row(f"{what}, answered in full", median(found, lambda block: block.full), "share"))
        if any(block.refused for block in found):
            rows.append(row(f"{what}, refused", median(found, lambda block: block.refused), "share"))
    return rows


def _over_grpc(
    stack: Served, shape: LoadShape, users: Sequence[str], seconds: float
) -> tuple[NDArray[np.float64], list[bool], float]:
    """Milliseconds of each answer, whether it is full, and the share of refused requests."""
    ms: list[float] = []
    full: list[bool] = []
    with protocols.grpc(stack.ports.grpc) as endpoint:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            cycle, user = divmod(len(ms), len(users))
            request = {"user_id": users[user], "k": K, "deadline_ms": shape.deadline_ms + cycle}
            [answer] = protocols.over_grpc(endpoint, [request])
            ms.append((time.perf_counter() - started) * 1000)
            full.append(not answer["degraded"])
    return np.array(ms), full, 0.0
