"""What Kubernetes' autoscaler makes of a part's triggers, which are read from the rendered manifests, never copied.

KServe's ``keda`` class makes a ScaledObject of ``autoScaling``, KEDA a HorizontalPodAutoscaler of that; the arithmetic
here is kube-controller-manager's, with its defaults, for the two kinds of metrics that result.
"""

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster_validation.manifests.objects import Objects

SYNC_S = 15
"""--horizontal-pod-autoscaler-sync-period. KEDA asks Prometheus anew for each of its questions."""

TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance: so far off its target a metric changes nothing."""

GROWTH, GROWTH_PODS = 2, 4
"""The default scaleUp policies, of which the more generous counts: in 15 s twice as many, or four more."""

CPU = "cpu"
"""Name of the trigger on CPU; the others are called by the series they ask for."""


@dataclass(frozen=True)
class Part:
    """How a part of the chain is scaled.

    Attributes:
        name: ``transformer`` or ``predictor``.
        least: replicas.
        most: replicas.
        targets: by trigger; of CPU the share of what the pod requests.
        settle_up_s: stabilization when growing.
        settle_down_s: stabilization when shrinking.
        cores: what one pod requests.
    """

    name: str
    least: int
    most: int
    targets: Mapping[str, float]
    settle_up_s: int
    settle_down_s: int
    cores: float


def part_of(objects: Objects, chain: str, name: str) -> Part:
    """Read one part.

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
    """Over how many seconds a recorded series looks back, through the series it is made of.

    Raises:
        LookupError: nothing records it.
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
    """Replicas wanted for an ``AverageValue`` metric, whose query gives a total."""
    if abs(total / (target * replicas) - 1) <= TOLERANCE:
        return replicas
    return math.ceil(total / target)


def by_utilization(used: float, target: float, ready: int, replicas: int) -> int:
    """Replicas wanted for CPU: pods that are not ready yet count as idle where it would grow, and not where it shrinks.

    Args:
        used: mean share of their requests that the ready pods use.
        target: the share that they should.
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
    """One HorizontalPodAutoscaler: the largest wish counts, and of the wishes within a window the most careful."""

    part: Part
    _wishes: deque[tuple[int, int]] = field(default_factory=deque)

    def decide(self, now_s: int, values: Mapping[str, float | None], ready: int, replicas: int) -> int:
        """How many replicas there shall be.

        Args:
            now_s: on any clock.
            values: total of every trigger's query, and mean share of CPU; null where there is none yet.
            ready: replicas that report.
            replicas: that were asked for before.
        """
        wishes = [
            by_utilization(value, target, ready, replicas) if name == CPU else by_total(value, target, replicas)
            for name, target in self.part.targets.items()
            if (value := values[name]) is not None
        ]
        wish = max(wishes, default=replicas)
        if not self._wishes:
            self._wishes.append((now_s, replicas))  # what was there before counts as the first wish
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
