"""Three times the capacity for a minute: is the excess refused at once, and are admitted requests served as before?

The capacity is the goodput of closed-loop clients; the normal load is half of it. A machine's speed drifts by more than
the measured effects within a minute, so capacity, overload and normal load take turns of a few seconds: goodput is
compared with the capacity of the same turns, and the normal load's p99 after an overload with that before it. A minute
of overload follows for refusals and memory.
"""

from dataclasses import dataclass
from statistics import median

import httpx

from benchmarks.common.load import Answers, carry_out
from benchmarks.common.load_plan import Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, serving
from tests.support.faults.hostile_media import resident_mb

CLIENTS = 8
WARM_S, PEAK_S, NORMAL_S, MINUTE_S = 4.0, 3.0, 5.0, 60.0
ROUNDS, TURNS = 7, 3
TIMES = 3.0
NORMAL = 0.5
SETTLED_S = 5.0
USERS = 200


@dataclass(frozen=True)
class _Round:
    """Normal load, turns of capacity and overload, and normal load some seconds later.

    Attributes:
        capacity: complete answers a second, over all turns.
        goodput: the same at three times that load.
        before: p99 of the normal load, milliseconds.
        after: p99 of the normal load, some seconds after the overload.
    """

    capacity: float
    goodput: float
    before: float
    after: float


def measure() -> list[Row]:
    """Measure the capacity and exceed it, in turns and then for a minute.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    users = active_users(served, USERS)
    with serving(served) as ports, httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False) as endpoint:

        def load(seconds: float, rate: float = 0.0) -> Answers:
            return carry_out(Plan([ports.http], users, seconds, rate, CLIENTS))

        def normal(capacity: float) -> float:
            # The same random arrivals each time, so that both sides have the same bursts.
            answers = load(SETTLED_S + NORMAL_S, NORMAL * capacity)
            return answers.where(answers.due >= answers.due[0] + SETTLED_S).percentile(99)

        def exceed(capacity: float) -> _Round:
            before = normal(capacity)
            turns = []
            for _ in range(TURNS):
                peak = load(PEAK_S).full.sum()
                turns.append((peak, load(PEAK_S, TIMES * peak / PEAK_S).full.sum()))
            after = normal(capacity)
            peak, over = (float(sum(counts)) / (TURNS * PEAK_S) for counts in zip(*turns, strict=True))
            return _Round(peak, over, before, after)

        load(WARM_S)
        capacity = float(load(PEAK_S).full.sum()) / PEAK_S
        rounds: list[_Round] = []
        for _ in range(ROUNDS):
            rounds.append(exceed(capacity))
            capacity = rounds[-1].capacity
        memory = resident_mb(endpoint)
        minute = load(MINUTE_S, TIMES * capacity)
        grown = resident_mb(endpoint) / memory - 1
    answered, refused = minute.where(minute.ok), minute.where(minute.status == 503)
    return [
        row("capacity", median(r.capacity for r in rounds), "requests/s"),
        row("goodput / capacity", sum(r.goodput for r in rounds) / sum(r.capacity for r in rounds), "x", ">= 0.9"),
        row("half the capacity, before: p99", median(r.before for r in rounds), "ms"),
        row(f"half the capacity, {SETTLED_S:g} s after: p99", median(r.after for r in rounds), "ms"),
        row("p99 after / before", median(r.after / r.before for r in rounds), "x", "<= 1.5"),
        row(f"{TIMES:g} times the capacity for {MINUTE_S:g} s: refused", len(refused) / len(minute), "share"),
        row("refusal, p50", refused.percentile(50), "ms"),
        row("refusal, p99", refused.percentile(99), "ms", "<= 50"),
        row("neither answered nor refused", len(minute) - len(answered) - len(refused), "requests", "<= 0"),
        row("goodput of the minute / capacity before it", float(minute.full.sum()) / MINUTE_S / capacity, "x"),
        row("answered, p99", answered.percentile(99), "ms"),
        row("answered, of these in full", float(answered.full.mean()), "share"),
        row("growth of resident memory", grown, "share", "<= 0.1"),
    ]
