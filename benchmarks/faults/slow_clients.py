"""500 clients that send slowly beside 20 honest ones: does the honest clients' latency change?

A machine's speed drifts by more than the measured effect within a minute, so turns with and without the slow clients
alternate. A slow client sends a few bytes a second of a head or of a body, or none at all, and reconnects when it is
closed. All clients share one address, which is the hardest case: the bound per client address holds for both kinds.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from threading import Event, Thread

import httpx

from benchmarks.common.load import Answers, carry_out
from benchmarks.common.load_plan import Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, serving
from tests.support.faults.hostile_media import resident_mb

SLOW, HONEST = 500, 20
RATE = 40.0
"""Requests a second of all honest clients together."""

TURNS, TURN_S, WARM_S = 6, 10.0, 4.0
USERS = 200
_BYTE_S = 1.0
_AGAIN_S = 0.2

_HEAD = b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: here\r\nContent-Length: 400000\r\n\r\n"


def measure() -> list[Row]:
    """Measure honest clients without and with slow ones, in turns.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    users = active_users(served, USERS)
    alone: list[Answers] = []
    beside: list[Answers] = []
    ends: Counter[str] = Counter()
    with serving(served) as ports, httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False) as endpoint:

        def load(seconds: float) -> Answers:
            return carry_out(Plan([ports.http], users, seconds, RATE, HONEST))

        load(WARM_S)
        memory = resident_mb(endpoint)
        for _ in range(TURNS):
            alone.append(load(TURN_S))
            with _slow(ports.http, ends):
                beside.append(load(TURN_S))
        grown = resident_mb(endpoint) - memory
    asked = sum(map(len, beside))
    answered = sum(float(answers.ok.sum()) for answers in beside)
    refused = sum(float((answers.status == 503).sum()) for answers in beside)
    alone_ok = sum(float(answers.ok.sum()) for answers in alone) / sum(map(len, alone))
    ratios = [b.percentile(99) / a.percentile(99) for a, b in zip(alone, beside, strict=True)]
    return [
        row(f"honest requests beside {SLOW} slow clients for {TURNS * TURN_S:g} s", asked, "requests"),
        row("honest requests answered 200", answered / asked, "share", ">= 0.999"),
        row("honest requests answered 503", refused / asked, "share"),
        row("honest requests answered 200 without them", alone_ok, "share"),
        row("honest p99 without them", median(answers.percentile(99) for answers in alone), "ms"),
        row("honest p99 beside them", median(answers.percentile(99) for answers in beside), "ms"),
        row("honest p99 beside / without", median(ratios), "x", "<= 2"),
        row("slow clients closed with an answer", ends["answered"], "times"),
        row("slow clients closed without an answer", ends["closed"], "times"),
        row("growth of resident memory", grown, "MB"),
    ]


@contextmanager
def _slow(port: int, ends: "Counter[str]") -> Iterator[None]:
    """Run the slow clients inside the block."""
    stop = Event()

    async def client(number: int) -> None:
        await asyncio.sleep(number / SLOW * _BYTE_S)
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                begun = (_HEAD, _HEAD[:30], b"")[number % 3]
                writer.write(begun)
                answer = asyncio.create_task(reader.read(1))
                while not stop.is_set() and not answer.done():
                    if begun:
                        writer.write(b"x")
                    await asyncio.wait([answer], timeout=_BYTE_S)
                if answer.done():
                    ends["answered" if not answer.exception() and answer.result() else "closed"] += 1
                answer.cancel()
            except OSError:
                ends["closed"] += 1
            finally:
                writer.close()
            await asyncio.sleep(_AGAIN_S)

    async def all_of_them() -> None:
        await asyncio.gather(*map(client, range(SLOW)))

    thread = Thread(target=asyncio.run, args=(all_of_them(),))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
