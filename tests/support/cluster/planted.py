"""Metrics of two chains that a test plants: counters that grow with time, as the routes share the users out.

The exporter is a process of its own, whose rates the test changes over a pipe: a busy test does not slow scrapes.
"""

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

PER_SECOND = 40_000.0
"""Recommendations of both chains: so many that an interval of a second decides."""

BOUNDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)


@dataclass(frozen=True)
class Behaviour:
    """What a chain does.

    Attributes:
        failed: share of its requests that fail.
        degraded: share of its responses that are degraded.
        seconds: latency of 98.5 % of its responses; 1 % take twice, and 0.5 % ten times as long.
        liked: liked events per recommendation.
    """

    failed: float = 0.001
    degraded: float = 0.005
    seconds: float = 0.009
    liked: float = 0.3


class Planted:
    """The exporter, as the test sees it.

    Args:
        port: where it is scraped.
        pipe: to its process.
    """

    def __init__(self, port: int, pipe: "Connection[Any, Any]") -> None:
        self.port = port
        self._pipe = pipe

    def behave(self, chain: str, behaviour: Behaviour) -> None:
        """Let a chain behave differently from now on."""
        self._pipe.send((chain, behaviour))

    def share(self, shares: Mapping[str, float]) -> None:
        """Let each chain have a share of the traffic from now on."""
        self._pipe.send(("", dict(shares)))


@dataclass
class _Totals:
    behaviour: Behaviour = field(default_factory=Behaviour)
    share: float = 0.0
    answered: float = 0.0
    degraded: float = 0.0
    failed: float = 0.0
    liked: float = 0.0
    within: list[float] = field(default_factory=lambda: [0.0] * len(BOUNDS))

    def grow(self, seconds: float) -> None:
        """Count what happened in a time."""
        now, requests = self.behaviour, PER_SECOND * self.share * seconds
        answered = requests * (1 - now.failed)
        self.answered += answered
        self.failed += requests * now.failed
        self.degraded += answered * now.degraded
        self.liked += answered * now.liked
        for number, bound in enumerate(BOUNDS):
            shares = ((0.985, 1), (0.01, 2), (0.005, 10))
            self.within[number] += answered * sum(share for share, times in shares if times * now.seconds <= bound)


class _Collector:
    def __init__(self, chains: list[str], pipe: "Connection[Any, Any]") -> None:
        self._totals = {chain: _Totals() for chain in chains}
        self._pipe = pipe
        self._at = time.monotonic()

    def collect(self) -> Iterator[Any]:
        """All series, up to now."""
        self._grow()
        while self._pipe.poll():
            chain, given = self._pipe.recv()
            if chain:
                self._totals[chain].behaviour = given
            else:
                for each, share in given.items():
                    self._totals[each].share = share
        latency = HistogramMetricFamily("winnow_request_seconds", "planted", labels=("chain", "degraded"))
        counters = {
            name: CounterMetricFamily(f"winnow_{name}", "planted", labels=("chain", "value"))
            for name in ("failed", "refused", "reactions")
        }
        for chain, totals in self._totals.items():
            shares = {"yes": totals.degraded, "no": totals.answered - totals.degraded}
            for degraded, count in shares.items():
                part = count / totals.answered if totals.answered else 0.0
                buckets = [(str(b), part * n) for b, n in zip(BOUNDS, totals.within, strict=True)]
                latency.add_metric((chain, degraded), [*buckets, ("+Inf", count)], 0.0)
            counters["failed"].add_metric((chain, ""), totals.failed)
            counters["refused"].add_metric((chain, ""), 0.0)
            counters["reactions"].add_metric((chain, "positive"), totals.liked)
            counters["reactions"].add_metric((chain, "negative"), totals.liked / 10)
        yield latency
        yield from counters.values()

    def _grow(self) -> None:
        now = time.monotonic()
        for totals in self._totals.values():
            totals.grow(now - self._at)
        self._at = now


def _export(port: int, chains: list[str], pipe: "Connection[Any, Any]") -> None:
    registry = CollectorRegistry(auto_describe=False)
    _, thread = start_http_server(port, "127.0.0.1", registry)
    registry.register(_Collector(chains, pipe))
    pipe.send("ready")
    thread.join()


@contextmanager
def planted(port: int, *chains: str) -> Iterator[Planted]:
    """Run the exporter.

    Args:
        port: a free one.
        chains: names; the first has all the traffic at first.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_export, args=(port, list(chains), theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(60), "the exporter does not start"
        ours.recv()
        exporter = Planted(port, ours)
        exporter.share({chain: float(chain == chains[0]) for chain in chains})
        yield exporter
    finally:
        process.kill()
        process.join()
