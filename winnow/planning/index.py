"""The forms in which the items can be searched, and Triton's pods with each: the cheapest that fits is taken."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from winnow.planning import pods, rules
from winnow.planning.figures import GIB, shown
from winnow.planning.pods import Pods
from winnow.planning.prices import Prices
from winnow.planning.units import Units
from winnow.planning.workload import Index, Workload

SIZES = (2.0, 4.0, 7.0, 15.0)
"""vCPUs of a pod of Triton: larger pods share one copy of the index among more cores."""

_WIDTH, _MILLION = 64, 1e6
"""Dimensions and items that the per-unit figures are for."""


@dataclass(frozen=True)
class Form:
    """A form of search.

    Attributes:
        kind: the training setting ``index.kind`` that selects it.
        name: where and how.
        search_ms: time of a search; on a GPU of a batch.
        memory: predicted memory of a pod of Triton, in bytes.
        because: the calculation of time and memory.
        refused: why it cannot be used; empty where it can.
        predictor: Triton's pods; ``None`` where it cannot be used.
        engine: query nodes of Milvus; ``None`` for the other forms.
        units: names of the per-unit figures.
    """

    kind: Index
    name: str
    search_ms: float
    memory: float
    because: str
    refused: str
    predictor: Pods | None = None
    engine: Pods | None = None
    units: tuple[str, ...] = ()

    @property
    def hourly(self) -> float:
        """Price of the nodes."""
        return sum(each.hourly for each in (self.predictor, self.engine) if each)


def forms(workload: Workload, units: Units, prices: Prices) -> list[Form]:
    """Every form, whether it can be used or not."""
    return [
        _exact(workload, units, prices),
        _approximate(workload, units, prices),
        *_on_gpus(workload, units, prices),
        _milvus(workload, units, prices),
    ]


def chosen(found: list[Form], kind: Index) -> Form | None:
    """The cheapest usable form of this kind (``auto``: of any; Milvus where no other can be used), or ``None``."""
    usable = [form for form in found if not form.refused and kind in ("auto", form.kind)]
    return min(usable, key=lambda form: (kind == "auto" and form.kind == "milvus", form.hourly), default=None)


def copies_bytes(workload: Workload, units: Units) -> float:
    """Memory of the vectors that the graphs other than the retriever's hold, in bytes."""
    return workload.items * units.further_copies.value * 4 * workload.dimension


def _exact(workload: Workload, units: Units, prices: Prices) -> Form:
    millions, width = workload.items / _MILLION, workload.dimension / _WIDTH
    search = units.scan_ms.value * millions * width
    memory = (
        units.triton_bytes.value
        + workload.items * width * units.retriever_item_bytes.value
        + copies_bytes(workload, units)
    )
    because = (
        f"{shown(units.scan_ms.value)} ms x {millions:g} million items; "
        f"{shown(units.triton_bytes.value / GIB)} GiB + {millions:g} million x "
        f"({shown(width * units.retriever_item_bytes.value)} + "
        f"{shown(units.further_copies.value * 4 * workload.dimension)} bytes)"
    )
    names = ("scan_ms", "triton_bytes", "retriever_item_bytes", "further_copies", "triton_request_ms")
    return _on_cpus("exact", "exact, on CPUs", search, memory, because, names, workload, units, prices)


def _approximate(workload: Workload, units: Units, prices: Prices) -> Form:
    search = _approximate_ms(workload, units)
    own = workload.items * workload.dimension / _WIDTH * units.approximate_item_bytes.value
    memory = units.triton_bytes.value + own + copies_bytes(workload, units)
    millions = workload.items / _MILLION
    because = (
        f"{shown(units.approximate_ms.value)} ms x the root of {millions:g} million items; "
        f"{shown(units.triton_bytes.value / GIB)} GiB + {millions:g} million x "
        f"({shown(workload.dimension / _WIDTH * units.approximate_item_bytes.value)} + "
        f"{shown(units.further_copies.value * 4 * workload.dimension)} bytes)"
    )
    names = ("approximate_ms", "triton_bytes", "approximate_item_bytes", "further_copies", "triton_request_ms")
    name = "approximate, on CPUs"
    return _on_cpus("approximate", name, search, memory, because, names, workload, units, prices)


def _on_cpus(
    kind: Index,
    name: str,
    search: float,
    memory: float,
    because: str,
    names: tuple[str, ...],
    workload: Workload,
    units: Units,
    prices: Prices,
) -> Form:
    refused = _refusal(search, memory)
    predictor = None if refused else _triton(search, memory, workload, units, prices)
    if not refused and predictor is None:
        refused = f"no instance type holds a pod of {shown(pods.limit_gib(memory))} GiB"
    return Form(kind, name, search, memory, because, refused, predictor, None, names)


def _on_gpus(workload: Workload, units: Units, prices: Prices) -> Iterator[Form]:
    names = ("gpu_scan_ms", "gpu_bandwidth", "gpu_speedup", "triton_request_ms", "further_copies", "triton_bytes")
    for node_type, instance in prices.instances.items():
        if instance.gpu is None:
            continue
        slower = units.gpu_bandwidth.value / instance.gpu.bandwidth_gbs
        search = units.gpu_scan_ms.at(workload.items) * slower * workload.dimension / _WIDTH
        vectors = workload.items * 4 * workload.dimension * (1 + units.further_copies.value)
        on_gpu = vectors + rules.GPU_BATCH.value * workload.items * 4
        host = units.triton_bytes.value + vectors
        because = (
            f"{shown(units.gpu_scan_ms.at(workload.items))} ms a batch on an H100 x {slower:g} for its bandwidth; "
            f"{shown(vectors / GIB)} GiB of vectors and {shown((on_gpu - vectors) / GIB)} GiB of scores on the GPU"
        )
        refused = _refusal(search, host)
        if on_gpu > rules.GPU_FREE.value * instance.gpu.memory_gib * GIB:
            refused = f"{shown(on_gpu / GIB)} GiB do not fit {rules.GPU_FREE.value} of {instance.gpu.memory_gib:g} GiB"
        each_ms = search / rules.GPU_BATCH.value + units.triton_request_ms.value / units.gpu_speedup.value
        count = pods.replicas(workload.rps * each_ms / 1000 / rules.TRITON_LOAD.value, 1)
        placed = None if refused else pods.place(count, 2, max(8.0, pods.limit_gib(host)), prices, node_type)
        if not refused and placed is None:
            refused = f"its memory does not hold a pod of {shown(pods.limit_gib(host))} GiB"
        yield Form("exact", f"exact, on {node_type}", search, host, because, refused, placed, None, names)


def _milvus(workload: Workload, units: Units, prices: Prices) -> Form:
    """Query nodes are sized as FAISS on the same CPUs is: Milvus's own index is FAISS's, but was not measured."""
    search = _approximate_ms(workload, units)
    index = workload.items * workload.dimension / _WIDTH * units.approximate_item_bytes.value
    memory = units.triton_bytes.value + copies_bytes(workload, units)
    refused = _refusal(0, memory)
    predictor = None if refused else _triton(0, memory, workload, units, prices)
    engine = _query_nodes(index * rules.REDIS_RELEASES.value, search, workload, prices)
    if not refused and (predictor is None or engine is None):
        refused = "no instance type holds its pods"
    because = (
        f"{shown(index * rules.REDIS_RELEASES.value / GIB)} GiB of index in {rules.REDIS_RELEASES.value:g} releases on "
        "query nodes, each part twice; sized as FAISS on the same CPUs, not measured with Milvus"
    )
    names = ("approximate_ms", "approximate_item_bytes", "further_copies", "triton_bytes", "triton_request_ms")
    return Form("milvus", "approximate, in Milvus", search, memory, because, refused, predictor, engine, names)


def _triton(search: float, memory: float, workload: Workload, units: Units, prices: Prices) -> Pods | None:
    cores = workload.rps * (units.triton_request_ms.value + search) / 1000 / rules.TRITON_LOAD.value
    gib = max(2.0, pods.limit_gib(memory))
    return pods.cheapest(pods.place(pods.replicas(cores, cpu), cpu, gib, prices) for cpu in SIZES)


def _query_nodes(index: float, search: float, workload: Workload, prices: Prices) -> Pods | None:
    """Query nodes that hold every part of the index twice, and have the cores for all searches."""
    cores = workload.rps * search / 1000 / rules.TRITON_LOAD.value
    options = []
    for cpu in SIZES:
        for gib in (8.0, 16.0, 32.0, 64.0, 96.0):
            by_memory = math.ceil(rules.LEAST_REPLICAS.value * index / GIB / (gib * rules.MEMORY_LOAD.value))
            options.append(pods.place(max(by_memory, pods.replicas(cores, cpu)), cpu, gib, prices))
    return pods.cheapest(options)


def _approximate_ms(workload: Workload, units: Units) -> float:
    """Lists grow with the root of the items, and so do the lists and the codes that a search reads."""
    return units.approximate_ms.value * math.sqrt(workload.items / _MILLION) * workload.dimension / _WIDTH


def _refusal(search: float, memory: float) -> str:
    if search > rules.SEARCH_MS.value:
        return f"a search takes {shown(search)} ms, more than {rules.SEARCH_MS.value:g}"
    if not pods.fits(memory):
        return f"a pod needs {shown(memory / GIB)} GiB, more than {rules.POD_INDEX_GIB.value:g}"
    return ""
