"""Pods and the nodes that hold them: the cheapest instance type, replicas, and the bounds of autoscaling."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from winnow.planning import rules
from winnow.planning.figures import GIB
from winnow.planning.prices import Instance, Prices


@dataclass(frozen=True)
class Pods:
    """Replicas of one part.

    Attributes:
        replicas: at the peak.
        least: the autoscaler's minimum.
        most: the autoscaler's maximum.
        cpu: vCPUs that a pod requests.
        memory_gib: memory that a pod requests and is limited to.
        gpu: whether a pod has a GPU.
        node_type: the instance type.
        nodes: nodes at the peak.
        hourly: price of the nodes.
    """

    replicas: int
    least: int
    most: int
    cpu: float
    memory_gib: float
    gpu: bool
    node_type: str
    nodes: int
    hourly: float


def limit_gib(used: float) -> float:
    """A pod's memory limit for this many predicted bytes, in half GiB."""
    return math.ceil(2 * used / GIB / rules.MEMORY_LOAD.value) / 2


def fits(used: float) -> bool:
    """Whether a pod may use this many bytes."""
    return used / GIB <= rules.POD_INDEX_GIB.value


def replicas(cores: float, each: float) -> int:
    """Replicas of ``each`` cores that have ``cores`` together, and at least the rule's number."""
    return max(int(rules.LEAST_REPLICAS.value), math.ceil(cores / each))


def place(count: int, cpu: float, memory_gib: float, prices: Prices, gpu: str | None = None) -> Pods | None:
    """Place replicas on the cheapest instance type; ``None`` where no type holds one.

    Args:
        count: replicas at the peak.
        cpu: vCPUs that a pod requests.
        memory_gib: memory that a pod requests.
        prices: the instance types.
        gpu: the instance type with a GPU to use; by default those without one.
    """
    placed = []
    for name, instance in prices.instances.items():
        if name != gpu if gpu else instance.gpu is not None:
            continue
        per_node = 1 if gpu else _per_node(instance, cpu, memory_gib)
        if not per_node or not _per_node(instance, cpu, memory_gib):
            continue
        nodes = max(int(rules.LEAST_REPLICAS.value), math.ceil(count / per_node))
        placed.append((nodes * instance.hourly, nodes, name))
    if not placed:
        return None
    hourly, nodes, name = min(placed)
    least = max(int(rules.LEAST_REPLICAS.value), math.ceil(rules.NIGHT.value * count))
    most = max(count + int(rules.SURGE.value), math.ceil(rules.SPIKE.value * count))
    return Pods(count, least, most, cpu, memory_gib, gpu is not None, name, nodes, hourly)


def cheapest(options: Iterable[Pods | None]) -> Pods | None:
    """The cheapest of the placements that are possible; ``None`` where none is."""
    return min((each for each in options if each), key=lambda each: (each.hourly, each.replicas), default=None)


def _per_node(instance: Instance, cpu: float, memory_gib: float) -> int:
    by_cpu = (instance.vcpus - rules.NODE_CPU_TAKEN.value) / cpu
    by_memory = instance.memory_gib * rules.NODE_MEMORY_FREE.value / memory_gib
    return math.floor(min(by_cpu, by_memory))
