"""Prometheus histograms of requests and of the components' runs."""

from prometheus_client import Histogram

from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.query import Query

TIMED_STAGES = ("query_hydrators", "sources", "item_hydrators", "filters", "scorers", "orderers")

_STAGE_SECONDS = Histogram(
    "winnow_stage_seconds",
    "Duration of one component's run, its fallback included.",
    ("stage", "component"),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0),
)
_REQUEST_SECONDS = Histogram(
    "winnow_request_seconds",
    "Duration of a recommendation from its admission to its answer, by whether a fallback was used.",
    ("degraded",),
    buckets=(0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
)
_COMPLETE, _DEGRADED = _REQUEST_SECONDS.labels("no"), _REQUEST_SECONDS.labels("yes")


class StageMetrics:
    """Observes answered queries.

    Args:
        pipeline: the components to time.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._seconds = {
            (stage, component.name): _STAGE_SECONDS.labels(stage, component.name)
            for stage in TIMED_STAGES
            for component in getattr(pipeline, stage)
        }

    def observe(self, query: Query, seconds: float) -> None:
        """Observe a query that was answered after ``seconds``."""
        (_DEGRADED if query.trace.degraded else _COMPLETE).observe(seconds)
        for step in query.trace.steps:
            self._seconds[step.stage, step.component].observe(step.ms / 1000)
