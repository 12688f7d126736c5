"""Figures of the health page: rates, shares and quantiles from what /metrics says, restarts of processes included."""

from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from winnow.explorer.health.figures import Now, Tick, courses, figures, interval
from winnow.explorer.health.scrape import Scrape, parse
from winnow.explorer.health.series import Quantile, quantile
from winnow.explorer.health.sparkline import sparkline


class Metrics:
    """The metrics of a transformer, as prometheus_client writes them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "winnow_request_seconds", ".", ("degraded",), buckets=(0.01, 0.02, 0.05, 0.1), registry=self.registry
        )
        self.stages = Histogram(
            "winnow_stage_seconds", ".", ("stage", "component"), buckets=(0.001, 0.01), registry=self.registry
        )
        self.events = Counter("winnow_events_total", ".", ("outcome",), registry=self.registry)
        self.rows = Counter("winnow_item_rows_total", ".", ("source",), registry=self.registry)
        self.degraded = Counter("winnow_degraded_total", ".", ("component",), registry=self.registry)
        self.in_flight = Gauge("winnow_in_flight", ".", registry=self.registry)

    def at(self, seconds: float, *others: "Metrics") -> Scrape:
        """A scrape of this process, and others, at a moment."""
        pages = {f"http://{number}/metrics": each for number, each in enumerate((self, *others))}
        samples = {address: parse(generate_latest(each.registry).decode()) for address, each in pages.items()}
        return Scrape(seconds, 1000 * seconds, samples, {})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_rates_and_shares(metrics: Metrics) -> None:
    metrics.seconds.labels("no").observe(0.03)
    metrics.rows.labels("redis").inc(1000)
    first = metrics.at(100)
    for _ in range(30):
        metrics.seconds.labels("no").observe(0.015)
    for _ in range(10):
        metrics.seconds.labels("yes").observe(0.09)
    metrics.events.labels("taken").inc(12)
    metrics.events.labels("duplicate").inc(2)
    metrics.rows.labels("process").inc(90)
    metrics.rows.labels("redis").inc(10)
    metrics.degraded.labels("ranker").inc(10)
    metrics.stages.labels("sources", "retriever").observe(0.0005)
    metrics.stages.labels("scorers", "ranker").observe(0.002)
    metrics.stages.labels("query_hydrators", "user").observe(5.0)
    found = figures([first, metrics.at(110)])
    assert (found.requests, found.per_second) == (40, 4.0)
    assert found.degraded == 0.25
    assert (found.events, found.events_other) == (12, {"duplicate": 2.0})
    assert (found.rows, found.rows_cached) == (100, 0.9)
    assert found.fallbacks == {"ranker": 10.0}
    assert found.p50 is not None
    assert 0.01 < found.p50.seconds < 0.02
    assert found.p95 is not None
    assert 0.05 < found.p95.seconds < 0.1
    assert [each.name for each in found.components] == ["user", "retriever", "ranker"]
    assert found.components[0].p50 == Quantile(0.01, above=True)
    assert found.components[2].fallbacks == 10


def test_nothing_happened(metrics: Metrics) -> None:
    first = metrics.at(0)
    found = figures([first, metrics.at(5)])
    assert (found.requests, found.degraded, found.p50, found.rows_cached, found.components) == (0, None, None, None, [])


def test_a_process_that_began_anew_counts_from_0(metrics: Metrics) -> None:
    metrics.events.labels("taken").inc(1000)
    first = metrics.at(0)
    again = Metrics()
    again.events.labels("taken").inc(7)
    assert figures([first, again.at(10)]).events == 7


def test_a_process_that_was_not_there_counts_from_its_first_scrape(metrics: Metrics) -> None:
    other = Metrics()
    other.events.labels("taken").inc(1000)
    first, second = metrics.at(0), metrics.at(10, other)
    other.events.labels("taken").inc(5)
    metrics.events.labels("taken").inc(1)
    assert figures([first, second]).events == 0
    assert figures([second, metrics.at(20, other)]).events == 6


def test_a_process_that_began_within_the_interval_counts_from_0(metrics: Metrics) -> None:
    began = Gauge("process_start_time_seconds", ".", registry=metrics.registry)
    nothing = Scrape(100, 100_000, {}, {"transformer": "it does not answer"})
    metrics.events.labels("taken").inc(9)
    began.set(103)
    first = metrics.at(105)
    again = Metrics()
    Gauge("process_start_time_seconds", ".", registry=again.registry).set(112)
    again.events.labels("taken").inc(30)
    assert figures([nothing, first, metrics.at(110)]).events == 9
    assert figures([nothing, first, again.at(115)]).events == 39
    began.set(95)
    assert figures([nothing, metrics.at(105), metrics.at(110)]).events == 9
    began.set(-90)
    late = metrics.at(105)
    metrics.events.labels("taken").inc(2)
    assert figures([nothing, late, metrics.at(110)]).events == 2


def test_gauges_are_those_of_all_processes(metrics: Metrics) -> None:
    other = Metrics()
    metrics.in_flight.set(2)
    other.in_flight.set(3)
    now = Now.of(metrics.at(0, other))
    assert now.in_flight == 5
    assert now.behind_seconds is None


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0, float("inf"): 0.0}, 0.5, None),
        ({1.0: 10.0, float("inf"): 10.0}, 0.5, Quantile(1.0, below=True)),
        ({1.0: 0.0, 2.0: 10.0, float("inf"): 10.0}, 0.9, Quantile(1.9)),
        ({1.0: 1.0, 2.0: 1.0, float("inf"): 10.0}, 0.5, Quantile(2.0, above=True)),
    ],
)
def test_quantiles_are_interpolated_in_their_bucket(
    buckets: dict[float, float], share: float, expected: Quantile | None
) -> None:
    assert quantile(buckets, share) == expected


def test_the_interval_is_at_least_as_long_as_asked_for_or_all_there_is(metrics: Metrics) -> None:
    history = [metrics.at(moment) for moment in (0, 30, 35, 40, 45)]
    assert [each.at for each in interval(history, 10)] == [35, 40, 45]
    assert [each.at for each in interval(history, 12)] == [30, 35, 40, 45]
    assert interval(history, 600) == history
    assert interval(history[:1], 10) == history[:1]


def test_courses_have_gaps_where_nothing_happened(metrics: Metrics) -> None:
    scrapes = [metrics.at(0)]
    for step in range(1, 5):
        if step != 2:
            metrics.seconds.labels("no").observe(0.015)
        scrapes.append(metrics.at(5 * step))
    course = courses([Tick.of(*pair) for pair in pairwise(scrapes)])["p95"]
    assert course.at == [-15, -10, -5, 0]
    assert [value is None for value in course.values] == [False, True, False, False]
    drawn = sparkline(course, 'a "label" <b>')
    assert drawn.count("M") == 2
    assert "&lt;b&gt;" in drawn


def test_what_is_no_metrics_page_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        parse("<!doctype html><p>not here")
