"""Kubernetes' HorizontalPodAutoscaler for the triggers of a part, which are read from the rendered manifests.

KServe's ``keda`` class makes a ScaledObject of ``autoScaling``, KEDA a HorizontalPodAutoscaler of that. The arithmetic
is kube-controller-manager's, with its defaults, for the two kinds of metrics that result.
"""

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster_validation.manifests.objects import Objects

SYNC_S = 15
"""--horizontal-pod-autoscaler-sync-period. KEDA queries Prometheus for every evaluation."""

TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance: smaller deviations from the target change nothing."""

GROWTH, GROWTH_PODS = 2, 4
"""The default scaleUp policies: within 15 s twice as many, or four more, the larger of both."""

CPU = "cpu"
"""Name of the CPU trigger; other triggers have the name of their series."""


@dataclass(frozen=True)
class Part:
    """The scaling settings of a part of the chain.

    Attributes:
        name: ``transformer`` or ``predictor``.
        least: fewest replicas.
        most: most replicas.
        targets: by trigger; for CPU as a share of the pod's request.
        settle_up_s: stabilization window when growing.
        settle_down_s: stabilization window when shrinking.
        cores: requested by one pod.
    """

    name: str
    least: int
    most: int
    targets: Mapping[str, float]
    settle_up_s: int
    settle_down_s: int
    cores: float


def part_of(objects: Objects, chain: str, name: str) -> Part:
    """Read a part's settings from the manifests.

    Raises:
        LookupError: there is no such chain.
    """
    found = objects.find("InferenceService", chain)
    if found is None:
        raise LookupError(f"no InferenceService {chain} in the manifests")
    spec = found["spec"][name]
    behavior = spec["autoScaling"].get("behavior", {})
    return Part(
        name,
        spec["minReplicas"],
        spec["maxReplicas"],
        dict(_target(metric) for metric in spec["autoScaling"]["metrics"]),
        behavior.get("scaleUp", {}).get("stabilizationWindowSeconds", 0),
        behavior.get("scaleDown", {}).get("stabilizationWindowSeconds", 300),
        sum(_cores(each) for each in (*spec.get("containers", ()), *filter(None, [spec.get("model")]))),
    )


def _target(metric: Mapping[str, Any]) -> tuple[str, float]:
    if metric["type"] == "Resource":
        return CPU, metric["resource"]["target"]["averageUtilization"] / 100
    external = metric["external"]
    return external["metric"]["query"].partition("{")[0], float(external["target"]["value"])


def _cores(container: Mapping[str, Any]) -> float:
    asked = str(container["resources"]["requests"]["cpu"])
    return float(asked.removesuffix("m")) / 1000 if asked.endswith("m") else float(asked)


def window_s(objects: Objects, record: str) -> int:
    """The window of a recorded series in seconds, including the series that it is computed from.

    Raises:
        LookupError: no rule records the series.
    """
    for rule in objects.of("PrometheusRule"):
        for each in (each for group in rule["spec"]["groups"] for each in group["rules"]):
            if each.get("record") == record:
                own = [int(number) * _SECONDS[unit] for number, unit in re.findall(r"\[(\d+)([sm])\]", each["expr"])]
                through = [window_s(objects, name) for name in re.findall(r"winnow:[\w:]+", each["expr"])]
                return max(own + through, default=0)
    raise LookupError(f"no rule records {record}")


_SECONDS = {"s": 1, "m": 60}


def by_total(total: float, target: float, replicas: int) -> int:
    """Recommended replicas for an ``AverageValue`` metric, whose query gives a total."""
    if abs(total / (target * replicas) - 1) <= TOLERANCE:
        return replicas
    return math.ceil(total / target)


def by_utilization(used: float, target: float, ready: int, replicas: int) -> int:
    """Recommended replicas for CPU: pods that are not ready count as idle when growing, and not at all when shrinking.

    Args:
        used: mean share of their requests that the ready pods use.
        target: of that share.
        ready: replicas that report.
        replicas: all of them.
    """
    ratio = used / target
    counted = replicas if ratio > 1 else ready
    damped = used * ready / counted / target
    if abs(damped - 1) <= TOLERANCE or (ratio > 1) != (damped > 1):
        return replicas
    wanted = math.ceil(damped * counted)
    return max(wanted, replicas) if damped > 1 else min(wanted, replicas)


@dataclass
class Autoscaler:
    """One HorizontalPodAutoscaler: the largest recommendation, stabilized over the windows."""

    part: Part
    _wishes: deque[tuple[int, int]] = field(default_factory=deque)

    def decide(self, now_s: int, values: Mapping[str, float | None], ready: int, replicas: int) -> int:
        """The number of replicas to run.

        Args:
            now_s: on any clock.
            values: total of every trigger's query, and mean share of CPU; ``None`` without a sample.
            ready: replicas that report.
            replicas: requested so far.
        """
        wishes = [
            by_utilization(value, target, ready, replicas) if name == CPU else by_total(value, target, replicas)
            for name, target in self.part.targets.items()
            if (value := values[name]) is not None
        ]
        wish = max(wishes, default=replicas)
        if not self._wishes:
            self._wishes.append((now_s, replicas))  # the earlier number counts as the first recommendation
        self._wishes.append((now_s, wish))
        longest = max(self.part.settle_up_s, self.part.settle_down_s, SYNC_S)
        while self._wishes[0][0] <= now_s - longest:
            self._wishes.popleft()
        up = self._within(now_s, self.part.settle_up_s, wish, min)
        down = self._within(now_s, self.part.settle_down_s, wish, max)
        settled = min(max(replicas, up), down)
        return max(self.part.least, min(settled, self.part.most, max(GROWTH * replicas, replicas + GROWTH_PODS)))

    def _within(self, now_s: int, window: int, wish: int, careful: Callable[[list[int]], int]) -> int:
        return careful([wish, *(past for at, past in self._wishes if at > now_s - window)])
