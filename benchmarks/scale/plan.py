"""Does `winnow plan` predict the memory that is measured, at sizes that its figures were not measured with?

Users of a real log differ: their numbers of events are lognormal here, whereas the plan knows only the mean. Three plans
follow, of a shop, a marketplace and a giant.
"""

from benchmarks.common.rows import Row, row
from benchmarks.scale import process_memory, store_memory
from benchmarks.scale.sized_release import skewed_histories
from winnow.planning import capacity, prices, serving, store, units
from winnow.planning.units import Units
from winnow.planning.workload import Workload

STORES = ((30_000, 25, 20_000), (12_000, 60, 150_000))
"""Users, mean events of a user, items."""

INDEXES = (90_000, 400_000)
"""Items."""

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
    workload = Workload(users=0, items=items, rps=1, events=0)
    retriever = items * known.retriever_item_bytes.value
    catalog = serving.memory(workload, known) - known.transformer_bytes.value
    return [
        *_compared(f"retriever's graph, {items:,} items", retriever, process_memory.graph_bytes(items)),
        *_compared(f"transformer's catalog, {items:,} items", catalog, process_memory.catalog_bytes(items)),
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
            f"{of_cells}: items {made.form.name}, Triton's pods on {made.predictor.node_type}",
            made.predictor.replicas,
            "",
        ),
        row(f"{of_cells}: transformers on {made.transformers.node_type}", made.transformers.replicas, ""),
        row(f"{name}: cost", made.monthly, "$/month"),
    ]
