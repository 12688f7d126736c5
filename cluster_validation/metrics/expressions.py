"""Every PromQL expression of the manifests: triggers, recording rules, alerts and dashboard panels."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster_validation.manifests.objects import ROOT, Object, Objects, title


@dataclass(frozen=True)
class Expression:
    """One PromQL expression.

    Attributes:
        owner: title of the object that contains it.
        where: path in the object, name of the rule, or file and title of the panel.
        text: PromQL.
        role: ``trigger``, ``record``, ``alert`` or ``panel``.
        record: name of the series that a recording rule defines; else empty.
        threshold: a trigger's threshold, as written; else empty.
        part: the part of the chain that a trigger scales; else empty.
    """

    owner: str
    where: str
    text: str
    role: str
    record: str = ""
    threshold: str = ""
    part: str = ""


def expressions(objects: Objects) -> list[Expression]:
    """All expressions of an overlay."""
    found: list[Expression] = []
    for chain in objects.chains:
        for part in ("predictor", "transformer"):
            found += _triggers(chain, part)
    for each in objects.of("PrometheusRule"):
        for group in each["spec"]["groups"]:
            for rule in group["rules"]:
                name = rule.get("record") or rule.get("alert") or ""
                role = "record" if "record" in rule else "alert"
                found.append(Expression(title(each), name, rule["expr"], role, rule.get("record", "")))
    for each in objects.of("ConfigMap"):
        for file, text in each.get("data", {}).items():
            if file.endswith(".json"):
                found += _panels(title(each), file, json.loads(text))
    return found


def _triggers(chain: Object, part: str) -> Iterator[Expression]:
    for number, metric in enumerate(chain["spec"].get(part, {}).get("autoScaling", {}).get("metrics", ())):
        if metric["type"] == "External":
            external = metric["external"]
            yield Expression(
                title(chain),
                f"spec.{part}.autoScaling.metrics[{number}]",
                external["metric"].get("query", ""),
                "trigger",
                threshold=str(external["target"].get("value", "")),
                part=part,
            )


def _panels(owner: str, file: str, dashboard: Mapping[str, Any]) -> Iterator[Expression]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Expression(owner, f"{file} {panel['title']!r}", target["expr"], "panel")


@cache
def own_metrics() -> dict[str, str]:
    """Unit of every series that Winnow's servers expose, by its name.

    A process of its own imports the servers, because KServe and a Triton client that the caller has imported do not
    work in one process.
    """
    command = [sys.executable, "-m", "cluster_validation.metrics.exposed"]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout)
    return found
