"""Features are point-in-time, and one schema describes every row of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns, EventType
from winnow.features.columns import MAX_WIDTH, encode_categorical, encode_numeric
from winnow.features.extract import extract, extract_folder, item_numerics
from winnow.features.numerics import ItemNumerics
from winnow.features.point_in_time import PointInTime
from winnow.features.table import FeatureSet
from winnow.schema import DAY_MS, HALF_LIVES, NUMERIC_FEATURES, FeatureSchema

START = 1_700_000_000_000
LATER = START + 100 * DAY_MS


def dataset(extra_events: list[tuple[str, str, str, int]] | None = None, seed: int = 0, **more: EventType) -> Dataset:
    """20 items, 8 users, 400 events in random order over 100 days, and then ``extra_events``; ``more`` types."""
    rng = np.random.default_rng(seed)
    kinds = ("view", "buy", *more)
    events = [
        (f"u{rng.integers(8)}", f"i{rng.integers(20)}", kinds[rng.integers(len(kinds))], START + int(day * DAY_MS))
        for day in rng.uniform(0, 100, 400)
    ] + (extra_events or [])
    users, items, kinds, times = zip(*events, strict=True)
    amounts = [None if n % 4 == 0 else float(n % 60) for n in range(len(events))]
    count = 20
    return Dataset(
        spec=DatasetSpec(
            name="test",
            events={"view": 1.0, "buy": 5.0, **more},
            items=DeclaredColumns(categorical=("tags",), numeric=("grams",)),
            users=DeclaredColumns(categorical=("country",), numeric=("age",)),
        ),
        items=pa.table(
            {
                "item_id": [f"i{n}" for n in range(count)],
                "category": [["hat", "shoe", None][n % 3] for n in range(count)],
                "price": pa.array([None if n == 4 else float(n) for n in range(count)], pa.float64()),
                "created_at": pa.array([None if n == 5 else START for n in range(count)], pa.int64()),
                "available": [n != 3 for n in range(count)],
                "tags": [["red", "wool"][: n % 3] for n in range(count)],
                "grams": [float(n * n) for n in range(count)],
            }
        ),
        users=pa.table(
            {
                "user_id": [f"u{n}" for n in range(8)],
                "country": ["pt", "fi"] * 4,
                "age": pa.array([30.0, None] * 4, pa.float64()),
            }
        ),
        events=pa.table(
            {
                "user_id": users,
                "item_id": items,
                "event": kinds,
                "timestamp": pa.array(times, pa.int64()),
                "amount": pa.array(amounts, pa.float64()),
            }
        ),
    )


def numerics_of(data: Dataset) -> ItemNumerics:
    return item_numerics(data, PointInTime.of(data).popularity)


GRADED = {"watch": EventType(value=2, full_amount=30), "dislike": EventType(value=-5), "scroll": EventType(value=0)}


@pytest.mark.parametrize("more", [{}, GRADED], ids=["positive types", "graded and negative types"])
def test_popularity_is_the_decayed_count_strictly_before_the_moment(more: dict[str, EventType]) -> None:
    data = dataset(**more)
    item = np.array([int(name[1:]) + 1 for name in data.events["item_id"].to_pylist()])
    time = data.events["timestamp"].to_numpy()
    weight = values_of(data)
    # Timestamps equal to an event's, which must not count itself.
    asked_items = item[:50].astype(np.int32)
    asked_times = time[:50]
    served = numerics_of(data).at(asked_items, asked_times)
    for row, (wanted_item, moment) in enumerate(zip(asked_items, asked_times, strict=True)):
        before = time < moment
        own = before & (item == wanted_item)
        for column, name in enumerate((*HALF_LIVES, "popularity")):
            faded = (
                2.0 ** -((moment - time) / (HALF_LIVES[name] * DAY_MS)) if name in HALF_LIVES else np.ones(len(time))
            )
            share = (faded[own & (weight > 0)].sum() + 1) / (faded[before & (weight > 0)].sum() + 20) * 20
            assert served[row, column] == pytest.approx(np.log(share), abs=1e-5)
        average = weight[before].mean() if before.any() else 0.0
        assert served[row, 3] == pytest.approx((weight[own].sum() + 10 * average) / (own.sum() + 10), rel=1e-5)


def values_of(data: Dataset) -> np.ndarray:
    values = []
    for event, amount in zip(data.events["event"].to_pylist(), data.events["amount"].to_pylist(), strict=True):
        kind = data.spec.events[event]
        graded = kind.full_amount is not None and amount is not None
        values.append(kind.value * (min(amount / kind.full_amount, 1.0) if graded else 1.0))
    return np.array(values)


def test_an_event_has_the_grade_of_its_amount_where_its_type_is_graded() -> None:
    data = dataset(**GRADED)
    log = extract(data, {})
    computed = PointInTime.of(data).log
    np.testing.assert_allclose(computed["weight"].to_numpy(), values_of(data)[computed["position"].to_numpy()])
    values = np.array([0.0, *log.schema.event_values])
    grade = log.interactions.grade
    assert grade.dtype == np.float32
    np.testing.assert_allclose(values[log.interactions.event] * grade, computed["weight"].to_numpy(), rtol=1e-6)
    watched = log.interactions.event == 3
    assert (grade[~watched] == 1).all()
    assert ((grade[watched] > 0) & (grade[watched] < 1)).any()
    assert grade[watched].max() == 1
    assert log.schema.event_full_amounts == (0, 0, 30, 0, 0)


def test_the_live_value_of_an_event_is_the_one_of_the_log() -> None:
    data = dataset(**GRADED)
    schema = extract(data, {}).schema
    rows = zip(data.events["event"].to_pylist(), data.events["amount"].to_pylist(), strict=True)
    live = [schema.value_of(schema.events.index(event) + 1, amount) for event, amount in rows]
    assert live == values_of(data).tolist()
    assert schema.value_of(0, 5.0) == 0
    assert schema.model_copy(update={"event_full_amounts": ()}).value_of(3, 5.0) == 2


def test_an_item_of_negative_events_only_is_as_popular_as_one_without_events() -> None:
    hated = [("u0", "i7", "dislike", START + day * DAY_MS) for day in range(30)]
    data = dataset(**GRADED)
    others = data.events.filter(pa.array([item != "i7" for item in data.events["item_id"].to_pylist()]))
    numerics = []
    for more in (hated, []):
        users, items, kinds, times = zip(*more, strict=True) if more else ([], [], [], [])
        log = {"user_id": users, "item_id": items, "event": kinds, "timestamp": times, "amount": [None] * len(more)}
        events = pa.concat_tables([others, pa.table(log, others.schema)])
        numerics.append(numerics_of(replace(data, events=events)).at(np.array([8], np.int32), np.array([LATER]))[0])
    # The counts do not see the dislikes; the mean value does, and stays within the values of the types.
    np.testing.assert_allclose(numerics[0][:3], numerics[1][:3], rtol=1e-6)
    assert -5 < numerics[0][3] < -3
    assert numerics[1][3] > 0


def test_a_log_of_one_negative_event_has_finite_numbers() -> None:
    data = dataset(**GRADED)
    one = {"user_id": ["u0"], "item_id": ["i7"], "event": ["dislike"], "timestamp": [START], "amount": [None]}
    rows = extract(replace(data, events=pa.table(one, data.events.schema)), {}).item_rows
    assert np.isfinite(rows["numeric"]).all()


def test_a_future_event_changes_no_past_feature() -> None:
    moments = np.full(20, START + 50 * DAY_MS)
    items = np.arange(1, 21, dtype=np.int32)
    future = [("u0", "i7", "buy", START + 50 * DAY_MS + later) for later in (0, 1, 40 * DAY_MS)]
    past = [("u0", "i7", "buy", START + 50 * DAY_MS - 1)]
    expected = numerics_of(dataset()).at(items, moments)
    np.testing.assert_allclose(numerics_of(dataset(future)).at(items, moments), expected, atol=1e-6)
    assert abs(numerics_of(dataset(past)).at(items, moments)[6] - expected[6]).max() > 1e-3


def test_served_rows_are_the_features_after_the_last_event() -> None:
    data = dataset()
    features = extract(data, {})
    expected = numerics_of(data).at(np.arange(21, dtype=np.int32), np.full(21, features.as_of))
    np.testing.assert_array_equal(features.item_rows["numeric"], expected)
    assert features.as_of == max(data.events["timestamp"].to_pylist()) + 1


def test_rows_follow_the_schema() -> None:
    features = extract(dataset(), {})
    names = [feature.name for feature in features.schema.item]
    assert names == ["category", "tags", *NUMERIC_FEATURES, "price", "grams"]
    assert features.item_rows.dtype == features.schema.item_dtype
    assert features.vocabularies["category"] == ["", "hat", "shoe"]
    assert features.item_rows["categorical"][1:4].tolist() == [[1, 0, 0], [2, 1, 0], [0, 1, 2]]
    assert features.item_rows["available"].tolist() == [0, 1, 1, 1, 0] + [1] * 16
    assert features.item_rows["index"].tolist() == list(range(21))
    price, grams = features.item_rows["numeric"][1:, -2:].T
    assert price[4] == 0
    assert price.mean() == pytest.approx(0, abs=1e-6)
    assert grams.std() == pytest.approx(1, abs=1e-5)
    assert features.user_rows["numeric"].tolist() == [[0.0]] * 8
    assert features.user_rows["categorical"].tolist() == [[2], [1]] * 4
    assert not features.item_rows["numeric"][0].any()


def test_interactions_are_sorted_by_user_time_and_position() -> None:
    same_time = [("u1", f"i{n}", "view", START + 200 * DAY_MS) for n in (9, 2, 5)]
    log = extract(dataset(same_time), {}).interactions
    assert log.offsets[-1] == 403
    assert log.users == 8
    for user in range(log.users):
        assert (np.diff(log.timestamp[log.of(user)]) >= 0).all()
    assert log.item[log.of(1)][-3:].tolist() == [10, 3, 6]


def test_a_feature_set_round_trips(tmp_path: Path) -> None:
    features = extract(dataset(), {"text": np.ones((20, 4), np.float32)})
    features.save(tmp_path)
    loaded = FeatureSet.load(tmp_path)
    assert loaded.schema == features.schema
    assert loaded.embeddings["text"].shape == (21, 4)
    assert not loaded.embeddings["text"][0].any()
    np.testing.assert_array_equal(loaded.item_rows, features.item_rows)
    np.testing.assert_array_equal(loaded.interactions.item, features.interactions.item)
    assert loaded.vocabularies == features.vocabularies


def test_a_saved_set_is_mapped_into_memory_and_its_numbers_are_those_of_the_log(tmp_path: Path) -> None:
    data = dataset(**GRADED)
    data.save(tmp_path / "dataset")
    (tmp_path / "encoders" / "embeddings").mkdir(parents=True)
    np.save(tmp_path / "encoders" / "embeddings" / "text.npy", np.ones((20, 4), np.float32))
    extract_folder(tmp_path / "dataset", tmp_path / "encoders", tmp_path / "features")
    loaded, numbers = FeatureSet.load(tmp_path / "features"), ItemNumerics.load(tmp_path / "features")
    log = loaded.interactions
    arrays = [log.item, log.event, log.timestamp, log.grade, log.offsets, loaded.item_rows, loaded.user_rows]
    arrays += [loaded.embeddings["text"], numbers.offsets, numbers.timestamp, *numbers.sums.values()]
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in arrays)
    for name in ("item", "event", "timestamp", "grade", "offsets"):
        np.testing.assert_array_equal(getattr(log, name), getattr(extract(data, {}).interactions, name))
    items = np.arange(21, dtype=np.int32).repeat(50)
    moments = START + np.tile(np.linspace(-1, 101, 50) * DAY_MS, 21).astype(np.int64)
    np.testing.assert_array_equal(numbers.at(items, moments), numerics_of(data).at(items, moments))


def test_computed_tables_lie_in_files_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    computed = PointInTime.of(dataset())
    assert list(tmp_path.iterdir()) == []
    mapped = Path("/proc/self/maps").read_text().splitlines()
    assert sum(str(tmp_path) in line and "(deleted)" in line for line in mapped) >= len(computed.log.column_names)
    assert computed.log.num_rows == 400
    item, time = computed.popularity["item"].to_numpy(), computed.popularity["timestamp"].to_numpy()
    np.testing.assert_array_equal(np.lexsort((time, item)), np.arange(len(item)))
    assert (item == 0).sum() == len(np.unique(time))


def test_a_log_without_events_has_empty_tables() -> None:
    data = dataset()
    computed = PointInTime.of(replace(data, events=data.events.slice(0, 0)))
    assert computed.log.num_rows == computed.popularity.num_rows == 0
    assert computed.log.schema == PointInTime.of(data).log.schema


def test_schemas_have_different_digests() -> None:
    schema = extract(dataset(), {}).schema
    again = FeatureSchema.model_validate_json(schema.model_dump_json())
    assert again.digest == schema.digest
    assert schema.model_copy(update={"events": ("view", "sell")}).digest != schema.digest


def test_categorical_codes_follow_frequency_and_width() -> None:
    feature, values, codes = encode_categorical("tag", pa.chunked_array([[["b"], ["a", "b"], None, []]]))
    assert (feature.width, feature.cardinality, values) == (2, 3, ["", "b", "a"])
    assert codes.tolist() == [[1, 0], [2, 1], [0, 0], [0, 0]]


def test_unknown_and_missing_values_leave_their_place_to_the_next() -> None:
    rows = [["x", "b", None, "a"], None, ["a", "b"], [], [f"v{n}" for n in range(20)]]
    feature, values, codes = encode_categorical("tag", pa.chunked_array([rows[:2], rows[2:]]))
    assert feature.width == MAX_WIDTH
    assert values[:4] == ["", "a", "b", "v0"]
    assert [values[code] for code in codes[0]] == ["x", "b", "a", *[""] * 5]
    assert [values[code] for code in codes[4]] == [f"v{n}" for n in range(8)]
    narrow = feature.model_copy(update={"width": 2})
    again = encode_categorical("tag", pa.chunked_array([rows]), (narrow, ["", "b", "a"]))[2]
    assert again.tolist() == [[1, 2], [0, 0], [2, 1], [0, 0], [0, 0]]


def test_a_constant_number_becomes_zero() -> None:
    feature, scores = encode_numeric("size", pa.chunked_array([[3.0, None, 3.0]]))
    assert (feature.mean, feature.scale) == (3.0, 1.0)
    assert scores.tolist() == [0.0, 0.0, 0.0]
