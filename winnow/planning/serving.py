"""The transformers: their CPU and memory, with the sidecar in each pod."""

import math

from winnow.planning import pods, rules
from winnow.planning.figures import GIB, Figure, shown
from winnow.planning.pods import Pods
from winnow.planning.prices import Prices
from winnow.planning.units import Units
from winnow.planning.workload import Workload

LEAST_GIB = 1.0
"""Memory of the transformer's container in the manifests."""

SIDECAR_GIB, SIDECAR_CPU = 0.5, 0.25
"""Memory and CPU that the manifests request for a sidecar; more of the latter where events need it."""


def memory(workload: Workload, units: Units) -> float:
    """Predicted memory of a transformer's process, in bytes."""
    return units.transformer_bytes.value + workload.items * _item_bytes(workload, units)


def sidecar_cpu(workload: Workload, units: Units, replicas: int) -> float:
    """The vCPUs of each pod's sidecar: together they apply all events."""
    cores = workload.events * units.sidecar_event_ms.value / 1000 / rules.TRANSFORMER_LOAD.value
    return max(SIDECAR_CPU, math.ceil(20 * cores / replicas) / 20)


def transformers(workload: Workload, units: Units, prices: Prices) -> Pods | None:
    """The pods; ``None`` where no instance type holds one."""
    count = pods.replicas(_busy(workload, units) / rules.TRANSFORMER_LOAD.value, 1)
    cpu = 1 + sidecar_cpu(workload, units, count)
    return pods.place(count, cpu, container_gib(workload, units) + SIDECAR_GIB, prices)


def container_gib(workload: Workload, units: Units) -> float:
    """Memory limit of the transformer's container, in GiB."""
    return max(LEAST_GIB, pods.limit_gib(memory(workload, units)))


def figures(workload: Workload, units: Units, placed: Pods) -> list[Figure]:
    """The figures of the transformers."""
    busy, each = _busy(workload, units), memory(workload, units)
    return [
        Figure(
            "transformers: CPU", busy, "cores",
            f"{shown(workload.rps)} recommendations/s x {shown(units.transformer_request_ms.value)} ms + "
            f"{shown(workload.events)} events/s x {shown(units.transformer_event_ms.value)} ms",
            ("transformer_request_ms", "transformer_event_ms"),
        ),
        Figure(
            "transformers: memory of each", each / GIB, "GiB",
            f"{shown(units.transformer_bytes.value / GIB)} GiB + {shown(workload.items)} items x "
            f"{shown(_item_bytes(workload, units))} bytes",
            ("transformer_bytes", "transformer_item_bytes", "transformer_tables_bytes"),
        ),
        Figure(
            "transformers", placed.replicas, "",
            f"{shown(busy)} cores / {rules.TRANSFORMER_LOAD.value}, one core each, at least "
            f"{rules.LEAST_REPLICAS.value:g}; sidecars of {sidecar_cpu(workload, units, placed.replicas):g} vCPU",
            ("sidecar_event_ms",),
        ),
    ]  # fmt: skip


def _item_bytes(workload: Workload, units: Units) -> float:
    catalog = units.transformer_item_bytes.value + 4 * (workload.dimension - 64)
    return max(0.0, catalog) + units.transformer_tables_bytes.value


def _busy(workload: Workload, units: Units) -> float:
    requests = workload.rps * units.transformer_request_ms.value
    return (requests + workload.events * units.transformer_event_ms.value) / 1000
