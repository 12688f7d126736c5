"""The histogram of the components' runs counts as prometheus_client's own does."""

import numpy as np
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from recommender_transformer.funnel.stage_metrics import BUCKETS, UNCOUNTED, StageSeconds
from recommender_transformer.funnel.trace import Step


def test_every_step_of_every_request_is_in_the_next_scrape() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    seconds = StageSeconds()
    ours.register(seconds)
    what = "Duration of one component's run, its fallback included."
    expected = Histogram("winnow_stage_seconds", what, ("stage", "component"), registry=theirs, buckets=BUCKETS)
    for component in ("mmr", "never_runs"):
        seconds.declare("orderers", component)
        expected.labels("orderers", component)
    random = np.random.default_rng(0)
    durations = [*BUCKETS, 0.0, 7.0, *random.exponential(0.01, 2 * UNCOUNTED).tolist()]
    for some in (durations, [0.25, 0.25]):  # more and fewer than are counted together
        for duration in some:
            duration = round(duration * 2**20) / 2**20  # so that no sum is rounded
            seconds.observe([Step("orderers", "mmr", 0.0, duration * 1000, 0, 0)])
            expected.labels("orderers", "mmr").observe(duration * 1000 / 1000)
        assert lines(ours) == lines(theirs)


def lines(registry: CollectorRegistry) -> set[str]:
    """What Prometheus reads, but for the times at which series were created."""
    return {line for line in generate_latest(registry).decode().splitlines() if "_created" not in line}
