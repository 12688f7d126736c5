"""Prometheus histograms of requests and of the components' runs."""

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.trace import Step

TIMED_STAGES = ("query_hydrators", "sources", "item_hydrators", "filters", "scorers", "orderers")

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds, in seconds."""

UNCOUNTED = 128
"""Requests whose steps are counted together: less than a millisecond of work."""

_REQUEST_SECONDS = Histogram(
    "winnow_request_seconds",
    "Duration of a recommendation from its admission to its answer, by whether a fallback was used.",
    ("degraded",),
    buckets=(0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
)
_COMPLETE, _DEGRADED = _REQUEST_SECONDS.labels("no"), _REQUEST_SECONDS.labels("yes")


class StageSeconds(Collector):
    """A histogram of the steps of many requests, which are counted together, at the latest by the next scrape.

    A request has some twenty steps, and prometheus_client's own histogram takes several microseconds for each.
    """

    def __init__(self) -> None:
        # A scrape comes in a thread of its own.
        self._lock = Lock()
        self._uncounted: list[Sequence[Step]] = []
        self._counts: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def declare(self, stage: str, component: str) -> None:
        """Export a component, at 0 until its first run."""
        with self._lock:
            self._counts.setdefault((stage, component), np.zeros(len(BUCKETS) + 1, np.int64))
            self._seconds.setdefault((stage, component), 0.0)

    def observe(self, steps: Sequence[Step]) -> None:
        """Observe the steps of a request, all of declared components."""
        with self._lock:
            self._uncounted.append(steps)
            if len(self._uncounted) >= UNCOUNTED:
                self._count()

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The histogram, for a scrape."""
        what = "Duration of one component's run, its fallback included."
        family = HistogramMetricFamily("winnow_stage_seconds", what, labels=("stage", "component"))
        bounds = [*map(str, BUCKETS), "+Inf"]
        with self._lock:
            self._count()
            for key, counts in self._counts.items():
                buckets = list(zip(bounds, counts.cumsum().tolist(), strict=True))
                family.add_metric(key, buckets, self._seconds[key])
        return [family]

    def _count(self) -> None:
        found: dict[tuple[str, str], list[float]] = {}
        for steps in self._uncounted:
            for step in steps:
                found.setdefault((step.stage, step.component), []).append(step.ms / 1000)
        self._uncounted.clear()
        for key, seconds in found.items():
            # A bound is the largest value of its bucket.
            buckets = np.searchsorted(BUCKETS, seconds, side="left")
            self._counts[key] += np.bincount(buckets, minlength=len(BUCKETS) + 1)
            self._seconds[key] += sum(seconds)


_STAGE_SECONDS = StageSeconds()
REGISTRY.register(_STAGE_SECONDS)


class StageMetrics:
    """Observes answered queries.

    Args:
        pipeline: the components to time.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        for funnel in (pipeline, *pipeline.forms.values()):
            for stage in TIMED_STAGES:
                for component in getattr(funnel, stage):
                    _STAGE_SECONDS.declare(stage, component.name)

    def observe(self, query: Query, seconds: float) -> None:
        """Observe a query that was answered after ``seconds``."""
        (_DEGRADED if query.trace.degraded else _COMPLETE).observe(seconds)
        _STAGE_SECONDS.observe(query.trace.steps)
