"""The queries of a rollout: of metrics that the transformer exposes, and without an answer no figures."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster_validation.metrics.expressions import own_metrics
from kfp_pipelines.rollout import prometheus
from winnow.ports import Ports


def test_every_queried_metric_is_one_of_the_transformers():
    queried = set(re.findall(r"increase\((\w+)", Path(prometheus.__file__).read_text()))
    assert len(queried) == 4
    assert queried <= set(own_metrics())


def test_a_prometheus_that_does_not_answer_gives_no_figures():
    now = datetime.now(UTC)
    with pytest.raises(prometheus.NoMetrics, match=r"Prometheus at http://127\.0\.0\.1:\d+ does not answer: "):
        prometheus.Prometheus(f"http://127.0.0.1:{Ports.free().http}").counts("recommender", now, now)
