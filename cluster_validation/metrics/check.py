"""PromQL of triggers, rules and dashboards: its metrics exist, and thresholds are in their metric's unit."""

from collections.abc import Iterator

from cluster_validation.charts.installed import installed
from cluster_validation.manifests.objects import Finding, Objects, title
from cluster_validation.metrics.expressions import Expression, expressions, own_metrics
from cluster_validation.metrics.promql import matched, metrics_of
from cluster_validation.metrics.units import Incompatible, Unit, Units, spelled

PLAUSIBLE = {"seconds": (0.01, 86_400.0), "microseconds": (500.0, 1_000_000.0), "a count": (0.001, 1_000_000.0)}
"""Plausible thresholds of alerts, by unit. 3 microseconds are not: a threshold in milliseconds was meant."""

TRIGGERS = {
    "seconds": (0.01, 2.0),
    "microseconds": (500.0, 100_000.0),
    "microseconds seconds^-1": (50_000.0, 16_000_000.0),
    "a count": (1.0, 1000.0),
}
"""Plausible thresholds of autoscaling triggers, by unit. Microseconds of work per second are a share of a GPU."""


def check(objects: Objects) -> Iterator[Finding]:
    """All PromQL expressions, and the fields of the autoscaling triggers."""
    found = expressions(objects)
    records = {each.record: each.text for each in found if each.record}
    exposed = own_metrics() | objects.outside["metrics"]
    units = Units(exposed, records)
    for each in found:
        try:
            unknown = sorted({*metrics_of(each.text)} - {*exposed, *records})
            unit = units.of(each.text)
        except Incompatible as error:
            yield Finding(each.owner, each.where, str(error))
            continue
        except ValueError as error:
            yield Finding(each.owner, each.where, f"is not PromQL: {error}")
            continue
        for name in unknown:
            yield Finding(each.owner, each.where, f"no process exposes the metric {name}")
        if unknown:
            continue
        if each.role == "trigger":
            yield from _trigger(each, unit)
        elif each.role == "alert":
            yield from _alert(each, units)
    yield from _fields(objects)


def _trigger(each: Expression, unit: Unit) -> Iterator[Finding]:
    try:
        threshold = float(each.threshold)
    except ValueError:
        yield Finding(
            each.owner,
            each.where,
            f"threshold {each.threshold!r}: write a plain number, in {spelled(unit)} (200m is 0.2)",
        )
        return
    low, high = TRIGGERS.get(spelled(unit), (float("inf"), float("-inf")))
    if not low <= threshold <= high:
        yield Finding(
            each.owner,
            each.where,
            f"threshold {threshold:g} {spelled(unit)} is not plausible (from {low:g} to {high:g}): "
            "is it in the unit of its metric?",
        )
    if matched(each.text, "chain") != {each.owner.split()[-1]}:
        yield Finding(each.owner, each.where, "scales by another chain's metric: the label chain must be its own name")
    if "times_replicas" not in each.text and not any(name.endswith(":total") for name in metrics_of(each.text)):
        yield Finding(
            each.owner,
            each.where,
            "KEDA divides the query's result by the replicas: query a total, or a mean times the replicas",
        )


def _alert(each: Expression, units: Units) -> Iterator[Finding]:
    for unit, number in units.compared(each.text):
        low, high = PLAUSIBLE.get(spelled(unit), (float("-inf"), float("inf")))
        if not low <= number <= high:
            yield Finding(
                each.owner, each.where, f"compares with {number:g} {spelled(unit)}, which is not plausible: wrong unit?"
            )


def _fields(objects: Objects) -> Iterator[Finding]:
    """Fields that KServe's ``keda`` class needs, and a CPU trigger for the time when Prometheus is down."""
    for chain in objects.chains:
        for part in ("predictor", "transformer"):
            spec = chain["spec"].get(part)
            if spec is None:
                continue
            metrics = spec.get("autoScaling", {}).get("metrics", ())
            for kind in {metric["type"] for metric in metrics}:
                if objects.outside["metric_sources"].get(kind) not in installed():
                    yield Finding(
                        title(chain),
                        f"spec.{part}.autoScaling",
                        f"no chart in eks/charts.txt serves metrics of type {kind}: an HPA would never scale down",
                    )
            if not any(metric.get("resource", {}).get("name") == "cpu" for metric in metrics):
                yield Finding(
                    title(chain), f"spec.{part}.autoScaling", "has no CPU trigger, which works without Prometheus"
                )
            if not any(metric["type"] == "External" for metric in metrics):
                yield Finding(title(chain), f"spec.{part}.autoScaling", "has no trigger on a metric of Prometheus")
            for number, metric in enumerate(metrics):
                where = f"spec.{part}.autoScaling.metrics[{number}].external"
                if metric["type"] != "External":
                    continue
                address = metric["external"]["metric"].get("serverAddress", "")
                if address.removeprefix("http://") not in objects.outside["services"]:
                    yield Finding(title(chain), where, f"serverAddress {address!r} is not listed in outside.yaml")
                if "value" not in metric["external"]["target"]:
                    yield Finding(
                        title(chain), where, "target.value is missing, the only field of a target that KServe reads"
                    )
            if not 1 <= spec.get("minReplicas", 1) <= spec.get("maxReplicas", 0):
                yield Finding(
                    title(chain), f"spec.{part}", "maxReplicas must be at least minReplicas, and that at least 1"
                )
