"""The plan of a workload: figures, limits of the design that it exceeds, the configuration, and the cost."""

import math
from dataclasses import dataclass, replace

from winnow.errors import WinnowError
from winnow.planning import index, pods, rules, serving, storage, store
from winnow.planning.figures import GIB, Figure, Limit, shown
from winnow.planning.index import Form
from winnow.planning.pods import Pods
from winnow.planning.prices import Prices
from winnow.planning.store import Store
from winnow.planning.units import Units
from winnow.planning.workload import Workload

_MOST_CELLS = 10_000


class PlanError(WinnowError):
    """No configuration serves the workload; the message says why and what to change."""


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        workload: the whole workload.
        cell: the workload of one cell.
        cells: deployments of their own that share the workload; 1 unless a limit of the design is exceeded.
        parts: parts that the catalog is divided into, one of which a cell serves.
        limits: the limits that one cell would exceed.
        store: the online store of a cell.
        form: how a cell searches its items.
        forms: all forms.
        transformers: the transformers of a cell.
        figures: all figures of a cell.
        costs: monthly costs of all cells.
    """

    workload: Workload
    cell: Workload
    cells: int
    parts: int
    limits: list[Limit]
    store: Store
    form: Form
    forms: list[Form]
    transformers: Pods
    figures: list[Figure]
    costs: list[Figure]

    @property
    def monthly(self) -> float:
        """The sum of the costs, $ per month."""
        return sum(cost.value for cost in self.costs)

    @property
    def predictor(self) -> Pods:
        """Triton's pods of a cell."""
        if self.form.predictor is None:
            raise PlanError(f"{self.form.name}: has no pods")
        return self.form.predictor


def plan(workload: Workload, units: Units, prices: Prices) -> Plan:
    """Plan a workload.

    Raises:
        PlanError: no configuration serves it.
    """
    limits = [limit for limit, _ in _exceeded(workload, units, prices)]
    cells, parts, cell = _cells(workload, units, prices)
    forms = index.forms(cell, units, prices)
    form = index.chosen(forms, workload.index)
    transformers = serving.transformers(cell, units, prices)
    if form is None or form.predictor is None or transformers is None:
        reasons = "; ".join(f"{each.name}: {each.refused}" for each in forms if each.refused)
        raise PlanError(f"no form of search with --index {workload.index} serves {cell.items:,} items: {reasons}")
    sized = store.size(cell, units, prices)
    figures = [
        *store.figures(cell, units, prices, sized),
        *_search(cell, units, form),
        *serving.figures(cell, units, transformers),
        *storage.figures(cell, units, prices),
    ]
    costs = _costs(cell, cells, units, prices, sized, form, transformers)
    return Plan(workload, cell, cells, parts, limits, sized, form, forms, transformers, figures, costs)


def _cells(workload: Workload, units: Units, prices: Prices) -> tuple[int, int, Workload]:
    """Cells and parts of the catalog with which no limit is exceeded, and the workload of one cell.

    First as few cells as the users need, then as few parts as the items need. Every part has equally many cells.
    """
    cells = parts = 1
    while True:
        cells = parts * math.ceil(cells / parts)
        cell = replace(
            workload,
            users=math.ceil(workload.users / cells),
            items=math.ceil(workload.items / parts),
            rps=workload.rps / cells,
            events=workload.events / cells,
        )
        exceeded = _exceeded(cell, units, prices)
        if not exceeded:
            return cells, parts, cell
        if cells >= _MOST_CELLS:
            raise PlanError(f"more than {_MOST_CELLS:,} cells are needed: {exceeded[0][0].limit}")
        if all(by_items for _, by_items in exceeded):
            parts += 1
        else:
            cells += 1


def _exceeded(workload: Workload, units: Units, prices: Prices) -> list[tuple[Limit, bool]]:
    """The limits that one deployment exceeds, and whether fewer items (else fewer users) end it."""
    found = []
    shard = store.single_shard_load(workload, units)
    if shard > 1:
        found.append((Limit(
            f"the busiest stream takes {shown(shard * rules.REDIS_LOAD.value)} cores of one Redis shard, which has "
            f"{rules.REDIS_LOAD.value}: a stream is one key",
            "divide the users among cells, or put a partitioned log (Kafka, Kinesis) in front of the stream",
        ), False))  # fmt: skip
    held = store.memory(workload, units)
    if sum(held.values()) > store.largest(prices):
        found.append((Limit(
            f"the store holds {shown(sum(held.values()) / GIB)} GiB, the largest {shown(store.largest(prices) / GIB)}",
            "divide the users among cells, keep fewer users (those of the last months), or raise ElastiCache's quota",
        ), held["items"] > sum(held.values()) / 2))  # fmt: skip
    process = serving.memory(workload, units)
    if not pods.fits(process):
        found.append((Limit(
            f"a transformer needs {shown(process / GIB)} GiB for {shown(workload.items)} items, more than "
            f"{rules.POD_INDEX_GIB.value:g}",
            "divide the catalog (by market or category) among cells, or leave out items without events or stock",
        ), True))  # fmt: skip
    smallest = units.triton_bytes.value + index.copies_bytes(workload, units)
    if not pods.fits(smallest):
        found.append((Limit(
            f"Triton needs {shown(smallest / GIB)} GiB for {shown(workload.items)} items without any index, more than "
            f"{rules.POD_INDEX_GIB.value:g}",
            "divide the catalog among cells, or train narrower vectors (retriever.dimension)",
        ), True))  # fmt: skip
    folder = storage.release(workload, units)
    if sum(folder.values()) > rules.RELEASE_GIB.value * GIB:
        found.append((Limit(
            f"a release's folder has {shown(sum(folder.values()) / GIB)} GiB, more than {rules.RELEASE_GIB.value:g}",
            "build from a shorter log, or divide users and catalog among cells",
        ), folder["items"] > folder["users"]))  # fmt: skip
    return found


def _search(cell: Workload, units: Units, form: Form) -> list[Figure]:
    predictor = form.predictor
    if predictor is None:
        return []
    batch = "a batch" if predictor.gpu else "a search"
    found = [
        Figure(f"items, {form.name}: {batch}", form.search_ms, "ms", form.because, form.units),
        Figure("Triton: memory of each", form.memory / GIB, "GiB", form.because, form.units),
        Figure(
            f"Triton: pods of {predictor.cpu:g} vCPUs" + (" and a GPU" if predictor.gpu else ""),
            predictor.replicas,
            "",
            f"{shown(cell.rps)} recommendations/s x ({shown(units.triton_request_ms.value)} ms of models"
            + (
                f" / {units.gpu_speedup.value:g} + {shown(form.search_ms)} ms of search / {rules.GPU_BATCH.value:g}"
                if predictor.gpu
                else f" + {shown(form.search_ms if form.kind != 'milvus' else 0)} ms of search"
            )
            + f") / {rules.TRITON_LOAD.value}, at least {rules.LEAST_REPLICAS.value:g}",
            form.units,
        ),
    ]
    if form.engine:
        name = f"Milvus: query nodes of {form.engine.cpu:g} vCPUs and {form.engine.memory_gib:g} GiB"
        found.append(Figure(name, form.engine.replicas, "", form.because, form.units))
    return found


def _costs(
    cell: Workload, cells: int, units: Units, prices: Prices, sized: Store, form: Form, transformers: Pods
) -> list[Figure]:
    """Monthly costs of all cells: the peak's nodes, all hours, on demand."""
    times, volume = cells * prices.hours, prices.volume_gib * prices.volume_gib_month
    of = f"{cells} x " if cells > 1 else ""
    parts = {"Triton": form.predictor, "Milvus": form.engine, "transformers": transformers}
    placed = {name: each for name, each in parts.items() if each}
    fixed = prices.fixed
    nodes = fixed.system_nodes + sum(each.nodes for each in placed.values())
    shards = sized.shards * (1 + sized.replicas)
    system = fixed.system_nodes * prices.instances[fixed.system_type].hourly
    other = fixed.control_plane + fixed.nat_gateway + fixed.load_balancer
    other += fixed.interface_endpoints * fixed.interface_endpoint
    gigabytes = storage.total(cell, units) / 1e9
    return [
        _cost("online store", times * sized.hourly, f"{of}{shards} {sized.node_type}"),
        *(
            _cost(name, times * each.hourly, f"{of}{each.nodes} {each.node_type} for {each.replicas} pods")
            for name, each in placed.items()
        ),
        _cost("system nodes", times * system, f"{of}{fixed.system_nodes} {fixed.system_type}"),
        _cost("control plane, NAT, load balancer, endpoints", times * other, f"{of}{other:.3g} an hour"),
        _cost("volumes", cells * nodes * volume, f"{of}{nodes} nodes x {prices.volume_gib:g} GiB"),
        _cost("S3", cells * gigabytes * prices.s3_gb_month, f"{of}{shown(gigabytes)} GB"),
    ]


def _cost(name: str, value: float, because: str) -> Figure:
    return Figure(name, value, "$/month", because)
