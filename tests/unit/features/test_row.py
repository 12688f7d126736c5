"""An item's row made by serving equals the row made by feature extraction of the whole catalog."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from winnow import release as releases
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns, EventType
from winnow.features.extract import extract
from winnow.features.row import ItemDescription, RowEncoder, tower_inputs
from winnow.features.table import FeatureSet
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import DAY_MS, NUMERIC_FEATURES

START = 1_700_000_000_000
ITEMS = {
    "item_id": ["a", "b", "c", "quiet", "bare"],
    "category": ["hat", "shoe", "hat", "shoe", None],
    "price": [1.0, 20.0, 300.0, 45.5, None],
    "created_at": [START, START, START, START + 3 * DAY_MS, None],
    "available": [True, True, True, False, True],
    "tags": [["red", "wool"], ["wool"], ["red"], ["unheard-of", "red", "wool"], None],
    "grams": [1.0, 2.0, 3.0, 4.5, None],
}


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    """The last two items have no events."""
    rng = np.random.default_rng(0)
    count = 60
    events = {
        "user_id": [f"u{n % 4}" for n in range(count)],
        "item_id": [("a", "b", "c")[n] for n in rng.integers(0, 3, count)],
        "event": [("view", "buy", "watch", "dislike")[n] for n in rng.integers(0, 4, count)],
        "timestamp": [START + int(day * DAY_MS) for day in rng.uniform(0, 90, count)],
        "amount": pa.array([None if n % 5 == 0 else float(n % 13) for n in range(count)], pa.float64()),
    }
    types = {"price": pa.float64(), "grams": pa.float64(), "created_at": pa.int64(), "tags": pa.list_(pa.string())}
    dataset = Dataset(
        spec=DatasetSpec(
            name="test",
            events={"view": 1.0, "buy": 5.0, "watch": EventType(value=2, full_amount=10), "dislike": -3.0},
            items=DeclaredColumns(categorical=("tags",), numeric=("grams",)),
        ),
        items=pa.table({name: pa.array(values, types.get(name)) for name, values in ITEMS.items()}),
        users=pa.table({"user_id": [f"u{n}" for n in range(4)]}),
        events=pa.table(events),
    )
    return extract(dataset, {})


@pytest.fixture(scope="module")
def release(features: FeatureSet, tmp_path_factory: pytest.TempPathFactory) -> Release:
    log = features.interactions
    return releases.write(
        tmp_path_factory.mktemp("release") / "1",
        {**id_arrays(features.item_ids), "event": log.event, "timestamp": log.timestamp, "grade": log.grade},
        {
            "schema.json": features.schema.model_dump_json(),
            "vocabularies.json": json.dumps(features.vocabularies),
        },
        number=1,
        dataset="test",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=features.as_of,
        history_length=10,
        candidates={},
        schema_digest=features.schema.digest,
        models={},
        parity={},
    )


def described(position: int) -> ItemDescription:
    tags, grams = ITEMS["tags"][position], ITEMS["grams"][position]
    return ItemDescription(
        category=ITEMS["category"][position] or "",
        price=ITEMS["price"][position],
        available=ITEMS["available"][position],
        created_at=ITEMS["created_at"][position],
        categorical={} if tags is None else {"tags": tags},
        numeric={} if grams is None else {"grams": grams},
    )


@pytest.mark.parametrize("position", [3, 4])
def test_an_item_without_events_gets_the_row_it_has_in_the_release(
    features: FeatureSet, release: Release, position: int
) -> None:
    made = RowEncoder(release).encode(described(position), position + 1)
    expected = features.item_rows[position + 1]
    for name in ("index", "available", "categorical"):
        np.testing.assert_array_equal(made[name], expected[name])
    np.testing.assert_allclose(made["numeric"], expected["numeric"], atol=1e-6)
    assert made.tobytes()[:8] == expected.tobytes()[:8]
    assert len(made.tobytes()) == release.schema.item_dtype.itemsize


def test_a_catalog_item_differs_by_its_events_only(features: FeatureSet, release: Release) -> None:
    made = RowEncoder(release).encode(described(0), 1)
    expected = features.item_rows[1]
    np.testing.assert_array_equal(made["categorical"], expected["categorical"])
    declared = slice(len(NUMERIC_FEATURES) - 1, None)
    np.testing.assert_allclose(made["numeric"][declared], expected["numeric"][declared], atol=1e-6)
    assert (made["numeric"][:3] < expected["numeric"][:3] - 0.1).all()


def test_values_outside_the_vocabulary_are_left_out(release: Release) -> None:
    item = replace(described(3), category="spaceship")
    codes = RowEncoder(release).encode(item, 9)["categorical"]
    assert codes[0] == 0
    assert release.vocabularies["tags"].index("red") in codes[1:]


def test_an_item_created_in_the_future_has_age_zero(release: Release) -> None:
    rows = RowEncoder(release)
    late = replace(described(3), created_at=release.manifest.as_of + 100 * DAY_MS)
    assert rows.encode(late, 1)["numeric"][len(NUMERIC_FEATURES) - 1] == 0


def test_the_tower_reads_codes_and_declared_numbers(features: FeatureSet, release: Release) -> None:
    assert RowEncoder(release).categorical == ("tags",)
    assert RowEncoder(release).numeric == ("grams",)
    categorical, numeric = tower_inputs(features.item_rows[1:3])
    np.testing.assert_array_equal(categorical, features.item_rows["categorical"][1:3])
    np.testing.assert_array_equal(numeric, features.item_rows["numeric"][1:3, -2:])
    bare = np.zeros(2, [("categorical", "<i4", (0,)), ("numeric", "<f4", (5,))])
    assert [array.shape for array in tower_inputs(bare)] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("position", range(5))
def test_a_changed_row_is_the_one_of_an_item_with_these_values(
    features: FeatureSet, release: Release, position: int
) -> None:
    """All columns at once, from the row of another item; popularity is the other item's."""
    rows, other = RowEncoder(release), features.item_rows[(position + 1) % 5 + 1]
    values = {name: column[position] for name, column in ITEMS.items() if name not in ("item_id", "title")}
    made, expected = rows.changed(other, values), rows.encode(described(position), int(other["index"]))
    assert (made["index"], made["available"]) == (expected["index"], expected["available"])
    np.testing.assert_array_equal(made["categorical"], expected["categorical"])
    age = len(NUMERIC_FEATURES) - 1
    np.testing.assert_allclose(made["numeric"][age:], expected["numeric"][age:], rtol=1e-6)
    np.testing.assert_array_equal(made["numeric"][:age], other["numeric"][:age])
    # The row that it was made from stays, and so does what is not given.
    assert other == features.item_rows[(position + 1) % 5 + 1]
    assert rows.changed(other, {}) == other
