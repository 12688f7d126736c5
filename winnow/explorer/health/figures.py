"""The figures of ``/health``, computed from two scrapes, and their course over the last minutes."""

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.explorer.health.scrape import Scrape
from winnow.explorer.health.series import Between, Quantile, gauge

REQUESTS = "winnow_request_seconds"
STAGES = "winnow_stage_seconds"
_ROWS = "winnow_item_rows_total"
_EVENTS = "winnow_events_total"

_FUNNEL = ("query_hydrators", "sources", "item_hydrators", "filters", "scorers", "orderers")


@dataclass(frozen=True)
class Component:
    """The runs of a component of the funnel.

    Attributes:
        stage: of the funnel.
        name: of the component.
        per_second: runs.
        p50: ``None`` without a run.
        p95: likewise.
        fallbacks: how often its fallback was used, because it was late or failed.
    """

    stage: str
    name: str
    per_second: float
    p50: Quantile | None
    p95: Quantile | None
    fallbacks: float


@dataclass(frozen=True)
class Figures:
    """What happened within an interval. A share is ``None`` where there is nothing to divide by.

    Attributes:
        seconds: length of the interval.
        requests: answered recommendations.
        p50: of their duration.
        p95: likewise.
        p99: likewise.
        degraded: share of them for which a fallback was used.
        reused: share of them that were reused instead of computed.
        refused: recommendations that were refused because too many were in flight.
        failed: those answered with an error of the server.
        events: events that were stored.
        events_other: outcome -> number of the events that were not.
        applied: events that the sidecars applied.
        lag_p50: from an event's entry into the stream to its effect on the filters.
        lag_p95: likewise.
        rows_cached: share of the item rows that came from the process's cache.
        rows: item rows that were needed.
        components: with at least one run, in the order of the funnel.
        fallbacks: component -> how often its fallback was used, where it was.
    """

    seconds: float
    requests: float
    p50: Quantile | None
    p95: Quantile | None
    p99: Quantile | None
    degraded: float | None
    reused: float | None
    refused: float
    failed: float
    events: float
    events_other: dict[str, float]
    applied: float
    lag_p50: Quantile | None
    lag_p95: Quantile | None
    rows_cached: float | None
    rows: float
    components: list[Component]
    fallbacks: dict[str, float]

    @property
    def per_second(self) -> float:
        """Recommendations."""
        return self.requests / self.seconds

    @property
    def events_per_second(self) -> float:
        """Stored events."""
        return self.events / self.seconds


def figures(scrapes: Sequence[Scrape]) -> Figures:
    """Compute them from the scrapes of an interval, two at least."""
    between = Between(scrapes)
    requests = between.increase(f"{REQUESTS}_count")
    p50, p95, p99 = between.quantiles(REQUESTS, (0.5, 0.95, 0.99))
    lag_p50, lag_p95 = between.quantiles("winnow_sidecar_lag_seconds", (0.5, 0.95))
    outcomes = {outcome: count for (outcome,), count in between.by(_EVENTS, "outcome").items() if count}
    rows, cached = between.increase(_ROWS), between.increase(_ROWS, source="process")
    fallbacks = {name: count for (name,), count in between.by("winnow_degraded_total", "component").items() if count}
    return Figures(
        between.seconds,
        requests,
        p50,
        p95,
        p99,
        _share(between.increase(f"{REQUESTS}_count", degraded="yes"), requests),
        _share(between.increase("winnow_answers_reused_total"), requests),
        between.increase("winnow_refused_total"),
        between.increase("winnow_failed_total"),
        outcomes.pop("taken", 0.0),
        outcomes,
        between.increase("winnow_sidecar_events_total", outcome="applied"),
        lag_p50,
        lag_p95,
        _share(cached, rows),
        rows,
        _components(between, fallbacks),
        fallbacks,
    )


def interval(history: Sequence[Scrape], seconds: float) -> list[Scrape]:
    """The newest scrapes, from the latest one that is at least ``seconds`` older than the newest; or all there are."""
    # The scrapes are not exactly periodical.
    older = [place for place, each in enumerate(history) if history[-1].at - each.at >= seconds - 0.5]
    return list(history[older[-1] if older else 0 :])


@dataclass(frozen=True)
class Course:
    """A figure over the last minutes.

    Attributes:
        at: seconds before the newest scrape, rising to 0.
        values: the figure; ``None`` where there is none.
    """

    at: list[float]
    values: list[float | None]

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if value is not None]


@dataclass(frozen=True)
class Tick:
    """The main figures from one scrape to the next.

    Attributes:
        at: seconds of the monotonic clock.
        values: name -> figure; ``None`` where there is none.
    """

    at: float
    values: dict[str, float | None]

    @classmethod
    def of(cls, first: Scrape, last: Scrape) -> "Tick":
        """Compute them."""
        between = Between([first, last])
        requests = between.increase(f"{REQUESTS}_count")
        [p95] = between.quantiles(REQUESTS, (0.95,))
        values = {
            "requests": requests / between.seconds,
            "p95": None if p95 is None else p95.seconds * 1000,
            "degraded": _share(between.increase(f"{REQUESTS}_count", degraded="yes"), requests),
            "events": between.increase(_EVENTS, outcome="taken") / between.seconds,
            "rows": _share(between.increase(_ROWS, source="process"), between.increase(_ROWS)),
        }
        return cls(last.at, values)


def courses(steps: Sequence[Tick]) -> dict[str, Course]:
    """How the main figures went; empty without a step."""
    at = [each.at - steps[-1].at for each in steps]
    return {name: Course(at, [each.values[name] for each in steps]) for name in (steps[-1].values if steps else ())}


@dataclass(frozen=True)
class Now:
    """Gauges and counters of the newest scrape; ``None`` where no process has one.

    Attributes:
        in_flight: recommendations.
        held_bytes: of the cached item rows.
        held_limit: bound on them.
        open_circuits: components that are not called because they kept failing.
        behind_seconds: age of the oldest event that is not applied.
        probes: unseen items that the sidecars tested, since they started.
        false_positives: those of them that a filter reported.
        false_negatives: seen items that a filter did not report; anything but 0 is a defect.
        target: bound on the share of false positives.
        missed: whether the release lacks events that were trimmed before it read them.
    """

    in_flight: float | None
    held_bytes: float | None
    held_limit: float | None
    open_circuits: list[str]
    behind_seconds: float | None
    probes: float | None
    false_positives: float | None
    false_negatives: float | None
    target: float | None
    missed: bool

    @classmethod
    def of(cls, scrape: Scrape) -> "Now":
        """Read a scrape."""
        circuits = {
            dict(key.labels).get("component", "")
            for of in scrape.samples.values()
            for key, value in of.items()
            if key.name == "winnow_circuit_open" and value
        }
        return cls(
            gauge(scrape, "winnow_in_flight"),
            gauge(scrape, "winnow_item_rows_held_bytes"),
            gauge(scrape, "winnow_item_rows_held_bytes_limit"),
            sorted(circuits),
            gauge(scrape, "winnow_sidecar_behind_seconds", max),
            gauge(scrape, "winnow_filter_probes_total"),
            gauge(scrape, "winnow_filter_probes_total", answer="met"),
            gauge(scrape, "winnow_filter_false_negatives_total"),
            gauge(scrape, "winnow_filter_false_positive_target", max),
            bool(gauge(scrape, "winnow_sidecar_missed_events", max)),
        )


def _components(between: Between, fallbacks: dict[str, float]) -> list[Component]:
    found = []
    for (stage, name), runs in between.by(f"{STAGES}_count", "stage", "component").items():
        if runs:
            p50, p95 = between.quantiles(STAGES, (0.5, 0.95), stage=stage, component=name)
            found.append(Component(stage, name, runs / between.seconds, p50, p95, fallbacks.get(name, 0.0)))
    return sorted(found, key=lambda each: _FUNNEL.index(each.stage) if each.stage in _FUNNEL else len(_FUNNEL))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
