"""Does `winnow plan` predict the memory that is measured, at sizes that its figures were not measured with?

Users of a real log differ: their numbers of events are lognormal here, whereas the plan knows only the mean. The plans
of a shop, a marketplace and a giant follow.
"""

from benchmarks.common.rows import Row, row
from benchmarks.scale import store_memory
from benchmarks.scale.process_memory import catalog_bytes, graph_bytes
from benchmarks.scale.subjects.sized_release import skewed_histories
from winnow.planning import capacity, prices, store, units
from winnow.planning.units import Units
from winnow.planning.workload import Workload

STORES = ((30_000, 25, 20_000), (12_000, 60, 150_000))
"""Users, mean events of a user, items."""

INDEXES, FEW = (90_000, 400_000), 1_000
"""Items, and those of the load that is subtracted: it holds what does not grow with them."""

PLANS = {
    "shop": Workload(users=1_000_000, items=100_000, rps=100, events=100),
    "marketplace": Workload(users=50_000_000, items=10_000_000, rps=5_000, events=5_000),
    "giant": Workload(users=500_000_000, items=200_000_000, rps=100_000, events=100_000),
}
"""The plans of the issue: users, items, recommendations and events a second."""


def measure() -> list[Row]:
    """Predicted and measured memory, and the headlines of the plans."""
    known = units.load()
    rows = [row for size in STORES for row in _store(known, *size)]
    rows += [row for items in INDEXES for row in _processes(known, items)]
    return [*rows, *(row for name, workload in PLANS.items() for row in _headlines(known, name, workload))]


def _store(known: Units, users: int, mean: float, items: int) -> list[Row]:
    histories = skewed_histories(users, mean)
    workload = Workload(users=users, items=items, rps=1, events=0, history=float(histories.mean()))
    found = store_memory.published(items, histories)
    label = f"Redis, {users:,} users with {mean:g} events, {items:,} items"
    rows = []
    for releases, measured in ((1, found[0]), (2, sum(found))):
        held = store.memory(workload, known, releases)
        rows += _compared(f"{label}, releases: {releases}", held["users"] + held["items"], measured)
    return rows


def _processes(known: Units, items: int) -> list[Row]:
    graph, catalog = (measured(items) - measured(FEW) for measured in (graph_bytes, catalog_bytes))
    more = items - FEW
    return [
        *_compared(f"retriever's graph, {items:,} items", more * known.retriever_item_bytes.value, graph),
        *_compared(f"transformer's catalog, {items:,} items", more * known.transformer_item_bytes.value, catalog),
    ]


def _compared(label: str, predicted: float, measured: float) -> list[Row]:
    return [
        row(f"{label}: predicted", predicted / 1e6, "MB"),
        row(f"{label}: measured", measured / 1e6, "MB"),
        row(f"{label}: error", abs(predicted / measured - 1), "share", "<= 0.1"),
    ]


def _headlines(known: Units, name: str, workload: Workload) -> list[Row]:
    made = capacity.plan(workload, known, prices.load())
    of_cells = f"{name}, each of {made.cells} cells" if made.cells > 1 else name
    return [
        row(f"{name}: limits of one deployment exceeded", len(made.limits), ""),
        row(f"{of_cells}: Redis", made.store.memory / 2**30, "GiB"),
        row(f"{of_cells}: shards of {made.store.node_type}", made.store.shards, ""),
        row(
            f"{of_cells}: items {made.form.name}; Triton on {made.predictor.node_type}",
            made.predictor.replicas,
            "",
        ),
        row(f"{of_cells}: transformers on {made.transformers.node_type}", made.transformers.replicas, ""),
        row(f"{name}: cost", made.monthly, "$/month"),
    ]
