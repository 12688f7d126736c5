"""Metrics that exist, and thresholds in the unit of what they are compared with."""

from collections.abc import Iterator

from validation.charts import installed
from validation.objects import Finding, Objects, title
from validation.promql import (
    Expression,
    Incompatible,
    Unit,
    Units,
    expressions,
    matched,
    metrics_of,
    own_metrics,
    spelled,
)

PLAUSIBLE = {"seconds": (0.01, 86_400.0), "microseconds": (500.0, 1_000_000.0), "a count": (0.001, 1_000_000.0)}
"""Between which numbers a threshold makes sense, by unit. 3 microseconds, meant as milliseconds, do not."""

TRIGGERS = {
    "seconds": (0.01, 2.0),
    "microseconds": (500.0, 100_000.0),
    "microseconds seconds^-1": (50_000.0, 16_000_000.0),
    "a count": (1.0, 1000.0),
}
"""The same for what the autoscaler compares, which is nearer to what people feel. Work is part of a GPU's time."""


def check(objects: Objects) -> Iterator[Finding]:
    """All PromQL: triggers, rules and dashboards."""
    found = expressions(objects)
    records = {each.record: each.text for each in found if each.record}
    known = own_metrics() | objects.outside["metrics"]
    units = Units(known, records)
    for each in found:
        try:
            unknown = sorted({*metrics_of(each.text)} - {*known, *records})
            unit = units.of(each.text)
        except Incompatible as error:
            yield Finding(each.owner, each.where, str(error))
            continue
        except ValueError as error:
            yield Finding(each.owner, each.where, f"is not PromQL: {error}")
            continue
        for name in unknown:
            yield Finding(each.owner, each.where, f"{name} is a metric that nothing exposes")
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
        yield Finding(each.owner, each.where, "scales by another chain's metric: chain must be its own name")
    if "times_replicas" not in each.text and not any(name.endswith(":total") for name in metrics_of(each.text)):
        yield Finding(
            each.owner,
            each.where,
            "KEDA divides what KServe asks for by the replicas: ask for a total, or for a mean times the replicas",
        )


def _alert(each: Expression, units: Units) -> Iterator[Finding]:
    for unit, number in units.compared(each.text):
        low, high = PLAUSIBLE.get(spelled(unit), (float("-inf"), float("inf")))
        if not low <= number <= high:
            yield Finding(
                each.owner, each.where, f"compares with {number:g} {spelled(unit)}, which is not plausible: wrong unit?"
            )


def _fields(objects: Objects) -> Iterator[Finding]:
    """What KServe's ``keda`` class needs of a trigger, and whether a part can be scaled without Prometheus."""
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
                        f"nothing in eks/charts.txt serves metrics of type {kind}: an HPA would fail and stay up",
                    )
            if not any(metric.get("resource", {}).get("name") == "cpu" for metric in metrics):
                yield Finding(title(chain), f"spec.{part}.autoScaling", "has no CPU trigger to fall back on")
            if not any(metric["type"] == "External" for metric in metrics):
                yield Finding(title(chain), f"spec.{part}.autoScaling", "has no trigger on a metric of its own")
            for number, metric in enumerate(metrics):
                where = f"spec.{part}.autoScaling.metrics[{number}].external"
                if metric["type"] != "External":
                    continue
                address = metric["external"]["metric"].get("serverAddress", "")
                if address.removeprefix("http://") not in objects.outside["services"]:
                    yield Finding(title(chain), where, f"serverAddress {address!r} is not named in outside.yaml")
                if "value" not in metric["external"]["target"]:
                    yield Finding(title(chain), where, "target.value is missing, the only one that KServe reads here")
            if not 1 <= spec.get("minReplicas", 1) <= spec.get("maxReplicas", 0):
                yield Finding(
                    title(chain), f"spec.{part}", "maxReplicas must be at least minReplicas, and that at least 1"
                )
