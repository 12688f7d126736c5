"""Plans: figures by hand calculation, growth, the smallest sizes, and the limits of one deployment."""

from dataclasses import replace

import pytest

from winnow.planning import capacity, prices, rules, serving, store, units
from winnow.planning.capacity import PlanError
from winnow.planning.figures import GIB
from winnow.planning.units import Curve, Unit
from winnow.planning.workload import Workload, WorkloadError

SHIPPED, PRICES = units.load(), prices.load()


def fixed(value: float) -> Unit:
    return Unit(value=value, unit="", kind="assumed", how="for a test")


def line(*points: tuple[float, float]) -> Curve:
    return Curve(points=list(points), unit="", kind="assumed", how="for a test")


ROUND = SHIPPED.model_copy(
    update={
        "redis_user_bytes": line((0, 100), (100, 2100)),
        "redis_user_more_bytes": line((0, 50), (100, 250)),
        "redis_item_bytes": fixed(100),
        "redis_item_more_bytes": fixed(60),
        "redis_event_bytes": fixed(500),
        "redis_impression_bytes": fixed(1000),
        "redis_request_us": fixed(200),
        "redis_event_us": fixed(300),
        "redis_append_us": fixed(50),
        "redis_impression_us": fixed(20),
        "transformer_request_ms": fixed(5),
        "transformer_event_ms": fixed(1),
        "transformer_bytes": fixed(0.25 * GIB),
        "transformer_item_bytes": fixed(300),
        "transformer_tables_bytes": fixed(200),
        "release_item_bytes": fixed(1300),
        "triton_request_ms": fixed(4),
        "triton_bytes": fixed(0.5 * GIB),
        "retriever_item_bytes": fixed(512),
        "further_copies": fixed(2),
        "scan_ms": fixed(20),
        "approximate_ms": fixed(0.4),
        "approximate_item_bytes": fixed(280),
    }
)
"""Round figures, so that results can be calculated by hand."""

SHOP = Workload(users=1_000_000, items=100_000, rps=1000, events=1000, history=30)


def test_the_figures_of_a_shop_by_hand() -> None:
    made = capacity.plan(SHOP, ROUND, PRICES)
    held = store.memory(SHOP, ROUND)
    assert held == {
        "users": 1_000_000 * (700 + 110),
        "items": 100_000 * 160,
        "events": 1000 * 3600 * 500,
        "impressions": 200_000 * 1000,
    }
    # 2.8 GB fit one node of 13 GiB; 0.5 cores / 0.5 are one shard.
    assert (made.store.node_type, made.store.shards, made.store.replicas) == ("cache.r7g.large", 1, 1)
    # 2 ms of scan: 1000 x (4 + 2) ms / 0.55 = 10.9 cores.
    assert made.form.name == "exact, on CPUs"
    assert made.form.search_ms == pytest.approx(2)
    assert made.form.memory == pytest.approx(0.5 * GIB + 100_000 * (512 + 2 * 256))
    assert made.predictor.replicas * made.predictor.cpu >= 10.9
    # 6 cores / 0.69.
    assert (made.transformers.replicas, made.transformers.least, made.transformers.most) == (9, 2, 14)
    # Six pods of 1.25 vCPUs and 1.5 GiB on 7.65 of 8 vCPUs; two on each c7i.xlarge would cost more.
    assert (made.transformers.cpu, made.transformers.memory_gib) == (1.25, 1.5)
    assert (made.transformers.node_type, made.transformers.nodes) == ("c7i.2xlarge", 2)
    assert made.transformers.hourly == pytest.approx(0.714)
    assert made.cells == 1
    assert made.limits == []
    assert made.monthly == pytest.approx(sum(cost.value for cost in made.costs))


@pytest.mark.parametrize("field", ["users", "items", "rps", "events", "history"])
def test_more_of_anything_needs_no_less(field: str) -> None:
    small = Workload(users=300_000, items=50_000, rps=200, events=200, history=20)
    sizes = [replace(small, **{field: getattr(small, field) * factor}) for factor in (1, 3, 10, 30)]
    plans = [capacity.plan(size, SHIPPED, PRICES) for size in sizes]
    for of in (
        lambda made: made.store.memory,
        lambda made: serving.memory(made.cell, SHIPPED),
        lambda made: made.predictor.hourly + made.transformers.hourly + made.store.hourly,
        lambda made: made.monthly,
    ):
        found = [of(made) for made in plans]
        assert found == sorted(found)
    assert plans[-1].monthly > plans[0].monthly


@pytest.mark.parametrize("history", [0, 1, 1000])
def test_no_users_and_five_items_have_the_smallest_deployment(history: float) -> None:
    made = capacity.plan(Workload(users=0, items=5, rps=0.01, events=0, history=history), SHIPPED, PRICES)
    assert (made.store.shards, made.predictor.replicas, made.transformers.replicas) == (1, 2, 2)
    # Replicas in different zones are on different nodes.
    assert (made.predictor.nodes, made.transformers.nodes) == (2, 2)
    assert made.form.name == "exact, on CPUs"


def test_every_figure_says_where_it_comes_from() -> None:
    made = capacity.plan(SHOP, SHIPPED, PRICES)
    assert all(figure.because for figure in [*made.figures, *made.costs])
    for figure in made.figures:
        assert figure.units or figure.name.startswith("Redis: shards")
        assert all(getattr(SHIPPED, name).how for name in figure.units)


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        (replace(SHOP, items=300_000, rps=10), "exact, on CPUs"),
        (replace(SHOP, items=10_000_000), "approximate, on CPUs"),
        # A scan of 1,000,000 items takes 20 ms of a core, and 9 ms of a g6 for a batch.
        (replace(SHOP, items=1_000_000, index="exact"), "exact, on g6.xlarge"),
        (replace(SHOP, items=1_000_000, index="milvus"), "approximate, in Milvus"),
        # Two copies of 50 million vectors fit a pod, but not with an index of 280 bytes each.
        (replace(SHOP, items=50_000_000, users=1000), "approximate, in Milvus"),
    ],
)
def test_the_form_of_search_follows_from_the_size(workload: Workload, name: str) -> None:
    assert capacity.plan(workload, ROUND, PRICES).form.name == name


def test_a_form_that_cannot_serve_is_refused_with_the_reasons() -> None:
    with pytest.raises(PlanError, match=r"serves 10,000,000 items: exact, on CPUs: a search takes 200 ms"):
        capacity.plan(replace(SHOP, items=10_000_000, index="exact"), ROUND, PRICES)


@pytest.mark.parametrize(
    ("workload", "limit", "remedy"),
    [
        (replace(SHOP, events=100_000), "the busiest stream takes 5 cores", "divide the users among cells"),
        (replace(SHOP, users=3_000_000_000, history=100), "the store holds", "divide the users among cells"),
        (replace(SHOP, items=200_000_000), "a transformer needs 93.4 GiB", "divide the catalog"),
        (replace(SHOP, items=200_000_000), "Triton needs 95.9 GiB", "divide the catalog"),
        (replace(SHOP, history=10_000), "a release's folder has", "shorter log"),
    ],
)
def test_an_exceeded_limit_is_named_with_its_remedy_and_cells_are_within_it(
    workload: Workload, limit: str, remedy: str
) -> None:
    made = capacity.plan(workload, ROUND, PRICES)
    assert any(limit in each.limit and remedy in each.remedy for each in made.limits)
    assert made.cells > 1
    assert made.cells % made.parts == 0
    assert capacity.plan(made.cell, ROUND, PRICES).limits == []
    assert made.cells * made.cell.users >= workload.users
    assert made.parts * made.cell.items >= workload.items


def test_cells_are_as_few_as_the_stream_allows() -> None:
    # 100,000 events/s x 50 us / 0.5.
    assert capacity.plan(replace(SHOP, events=100_000), ROUND, PRICES).cells == 10


def test_a_pod_that_no_instance_type_holds_is_no_plan() -> None:
    tiny = PRICES.model_copy(update={"instances": {"m7i.xlarge": PRICES.instances["m7i.xlarge"]}})
    with pytest.raises(PlanError, match="no instance type holds a pod of"):
        capacity.plan(replace(SHOP, items=30_000_000, users=1000), ROUND, tiny)


@pytest.mark.parametrize(
    ("field", "value"), [("users", -1), ("items", 4), ("rps", 0), ("history", 10**6), ("dimension", 1)]
)
def test_a_size_out_of_bounds_is_named(field: str, value: float) -> None:
    with pytest.raises(WorkloadError, match=f"--{field}: must be from"):
        replace(SHOP, **{field: value})


def test_rules_are_printed_with_reasons() -> None:
    assert len(rules.ALL) > 15
    assert all(rule.reason for rule in rules.ALL.values())
