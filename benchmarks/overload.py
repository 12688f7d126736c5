"""Three times the capacity for a minute: is the excess refused at once, and does the rest lose nothing by it?

The capacity is what clients that wait for their answers get out of the endpoint. Half of it, before and after, is the
normal load that the latency afterwards is held against.
"""

import time

import httpx

from benchmarks.hostile import resident_mb
from benchmarks.load import Answers, Plan, carry_out
from benchmarks.rows import Row, row
from benchmarks.serving import active_users, newest, serving

CLIENTS = 8
WARM_S, PEAK_S, NORMAL_S, OVERLOAD_S = 4.0, 10.0, 15.0, 60.0
TIMES = 3.0
NORMAL = 0.5
SETTLED_S = 5.0
USERS = 200


def measure() -> list[Row]:
    """Find the capacity, exceed it, and look again.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    users = active_users(served, USERS)
    with serving(served) as ports, httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False) as endpoint:

        def load(seconds: float, rate: float = 0.0) -> Answers:
            return carry_out(Plan([ports.http], users, seconds, rate, CLIENTS))

        load(WARM_S)
        peak = float(load(PEAK_S).full.sum()) / PEAK_S
        before = load(NORMAL_S, NORMAL * peak)
        memory = resident_mb(endpoint)
        over = load(OVERLOAD_S, TIMES * peak)
        ended = time.time()
        grown = resident_mb(endpoint) / memory - 1
        after = load(NORMAL_S + SETTLED_S, NORMAL * peak)
    settled = after.where(after.due >= ended + SETTLED_S)
    refused = over.where(over.status == 503)
    goodput = float(over.full.sum()) / OVERLOAD_S
    return [
        row("capacity", peak, "requests/s"),
        row(f"{TIMES:g} times the capacity: refused", len(refused) / len(over), "share"),
        row("refusal, p50", refused.percentile(50), "ms"),
        row("refusal, p99", refused.percentile(99), "ms", "<= 50"),
        row("neither answered nor refused", float((~over.ok & (over.status != 503)).sum()), "requests", "<= 0"),
        row("goodput / capacity", goodput / peak, "x", ">= 0.9"),
        row("answered, p99", over.where(over.ok).percentile(99), "ms"),
        row("answered, of these in full", float(over.full.sum() / max(over.ok.sum(), 1)), "share"),
        row("growth of resident memory", grown, "share", "<= 0.1"),
        row("half the capacity, before: p99", before.percentile(99), "ms"),
        row(f"half the capacity, {SETTLED_S:g} s after: p99", settled.percentile(99), "ms"),
        row("p99 after / before", settled.percentile(99) / before.percentile(99), "x", "<= 1.5"),
    ]
