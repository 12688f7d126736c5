"""The catalog by popularity and by age, whole and by category."""

import numpy as np
import pytest

from winnow.retrieval import item_orders
from winnow.retrieval.item_orders import ItemOrders, Order
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema


def schema(width: int, cardinality: int) -> FeatureSchema:
    return FeatureSchema(
        item=(
            Feature(name="category", kind="categorical", width=width, cardinality=cardinality),
            *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        ),
        user=(),
        events=("view",),
        event_values=(1.0,),
        event_windows_ms=(1,),
        conversions=("view",),
    )


def catalog(items: int, width: int, cardinality: int) -> tuple[np.ndarray, FeatureSchema]:
    """Items with ties in popularity and age, of none to ``width`` categories."""
    rng, of = np.random.default_rng(items), schema(width, cardinality)
    rows = np.zeros(items + 1, of.item_dtype)
    rows["numeric"][1:] = rng.integers(0, 5, (items, len(NUMERIC_FEATURES)))
    for row in rows[1:]:
        own = rng.permutation(np.arange(1, cardinality))[: rng.integers(0, width + 1)]
        row["categorical"][: len(own)] = own
    return rows, of


def sorted_by_hand(rows: np.ndarray, order: Order, codes: list[int] | None) -> list[int]:
    popularity = rows["numeric"][:, NUMERIC_FEATURES.index("popularity_7d")].tolist()
    age = rows["numeric"][:, NUMERIC_FEATURES.index("age")].tolist()
    items = [n for n in range(1, len(rows)) if codes is None or set(rows["categorical"][n].tolist()) & set(codes)]
    key = {"popular": lambda n: (-popularity[n], n), "new": lambda n: (age[n], -popularity[n], n)}
    return sorted(items, key=key[order])


@pytest.mark.parametrize("order", ["popular", "new"])
@pytest.mark.parametrize(("items", "width", "cardinality"), [(5, 1, 3), (400, 1, 6), (400, 3, 6), (7, 1, 1)])
def test_every_choice_of_categories_is_sorted(
    order: Order, items: int, width: int, cardinality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_orders, "HEAD", 10)
    rows, of = catalog(items, width, cardinality)
    orders = ItemOrders.of(rows, of)
    choices = [None, *([code] for code in range(1, cardinality)), list(range(1, cardinality))]
    for codes in choices if cardinality > 1 else [None]:
        parts = list(orders.items(order, codes, rows))
        distinct = list(dict.fromkeys(np.concatenate(parts).tolist()))
        assert distinct == sorted_by_hand(rows, order, codes)
        assert all(len(set(part.tolist())) == len(part) for part in parts)


def test_the_arrays_of_a_release_are_those_of_the_orders() -> None:
    rows, of = catalog(50, 2, 4)
    orders = ItemOrders.of(rows, of)
    assert tuple(orders.arrays()) == item_orders.ARRAYS
    assert ItemOrders(*orders.arrays().values()) is not orders
    assert [array.dtype for array in orders] == [np.int32, np.int32, np.int64, np.int32, np.int32]
