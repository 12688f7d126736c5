"""Impressions in index space, and the event that each of them led to."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.datasets.canonical.dataset import IMPRESSIONS, Dataset
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.features.extract import extract
from winnow.features.first_clicks import first_clicks
from winnow.features.table import FeatureSet, ImpressionLog, Interactions
from winnow.schema import DAY_MS, NUMERIC_FEATURES, Feature, FeatureSchema

START = 1_700_000_000_000
HOUR_MS = 3_600_000


def features_of(log: Interactions, shown: ImpressionLog, items: int, windows_ms: tuple[int, ...]) -> FeatureSet:
    kinds = len(windows_ms)
    schema = FeatureSchema(
        item=tuple(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        user=(),
        events=tuple(f"type{n}" for n in range(kinds)),
        event_values=(1.0,) * kinds,
        event_windows_ms=windows_ms,
        conversions=(),
    )
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *(f"i{n}" for n in range(items))]),
        user_ids=np.array([f"u{n}" for n in range(log.users)]),
        item_rows=np.zeros(items + 1, schema.item_dtype),
        user_rows=np.zeros(log.users, schema.user_dtype),
        embeddings={},
        interactions=log,
        as_of=int(log.timestamp.max(initial=0)) + 1,
        impressions=shown,
    )


def random_world(seed: int, users: int, items: int, events: int, spread_ms: int) -> FeatureSet:
    """Few moments, so that events and impressions often coincide; some users and items have no events."""
    rng = np.random.default_rng(seed)
    user, time = rng.integers(0, users, events), rng.integers(0, 12, events) * spread_ms
    order = np.lexsort((time, user))
    log = Interactions(
        offsets=np.searchsorted(user[order], np.arange(users + 1)).astype(np.int64),
        item=rng.integers(1, items + 1, events).astype(np.int32),
        event=rng.integers(1, 4, events).astype(np.int32),
        timestamp=(START + time[order]).astype(np.int64),
        grade=np.ones(events, np.float32),
    )
    requests, length = 40, 5
    shown = ImpressionLog(
        offsets=np.arange(0, requests * length + 1, length),
        user=rng.integers(0, users, requests).astype(np.int32),
        timestamp=np.sort(START + rng.integers(-2, 14, requests) * spread_ms),
        item=rng.integers(1, items + 3, requests * length).astype(np.int32),
        position=np.tile(np.arange(length, dtype=np.int32), requests),
        propensity=np.ones(requests * length, np.float32),
    )
    return features_of(log, shown, items + 2, (HOUR_MS, 3 * HOUR_MS, DAY_MS))


def by_definition(features: FeatureSet) -> list[int]:
    log, shown, found = features.interactions, features.impressions, []
    for request, user in enumerate(shown.user):
        rows = range(*log.of(int(user)).indices(len(log.item)))
        since = shown.timestamp[request]
        for item in shown.item[shown.offsets[request] : shown.offsets[request + 1]]:
            matching = (
                row
                for row in rows
                if log.item[row] == item
                and 0 <= log.timestamp[row] - since <= features.schema.event_windows_ms[log.event[row] - 1]
            )
            found.append(next(matching, -1))
    return found


@pytest.mark.parametrize(("users", "items", "events"), [(7, 5, 400), (1, 5, 60), (30, 40, 30), (3, 2, 1)])
def test_first_clicks_are_the_first_events_within_their_types_window(users: int, items: int, events: int) -> None:
    matched = 0
    for seed in range(5):
        features = random_world(seed, users, items, events, HOUR_MS)
        found = first_clicks(features)
        assert found.dtype == np.int64
        assert found.tolist() == by_definition(features)
        matched += (found >= 0).sum()
    assert matched or events == 1


def one_user(events: list[tuple[int, int, int]], shown_at: int) -> FeatureSet:
    """A user with events (item, type, time), who is shown items 1, 2 and 3 once."""
    item, kind, time = (np.array(column) for column in zip(*events, strict=True))
    rows = np.ones(len(item), np.float32)
    log = Interactions(np.array([0, len(item)]), item.astype(np.int32), kind.astype(np.int32), time, rows)
    three = np.arange(3, dtype=np.int32)
    shown = ImpressionLog(
        np.array([0, 3]), np.zeros(1, np.int32), np.array([shown_at]), three + 1, three, np.ones(3, np.float32)
    )
    return features_of(log, shown, 3, (10, 100))


def test_windows_include_their_ends_and_a_later_event_of_a_longer_window_counts() -> None:
    events = [(1, 1, 99), (1, 1, 100), (2, 1, 110), (3, 1, 111), (2, 1, 111), (3, 2, 112)]
    assert first_clicks(one_user(events, shown_at=100)).tolist() == [1, 2, 5]
    assert first_clicks(one_user(events, shown_at=113)).tolist() == [-1, -1, -1]


def test_doubled_events_count_once_as_the_first_of_them() -> None:
    assert first_clicks(one_user([(2, 1, 5), (2, 1, 5), (2, 2, 5)], shown_at=5)).tolist() == [-1, 0, -1]


def test_without_impressions_or_events_there_is_nothing_to_find() -> None:
    features = random_world(0, 3, 5, 20, HOUR_MS)
    nothing = features_of(features.interactions, ImpressionLog.empty(), 7, (1, 1, 1))
    assert first_clicks(nothing).shape == (0,)
    none = np.zeros(0, np.int32)
    silent = Interactions(np.zeros(4, np.int64), none, none, np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert set(first_clicks(features_of(silent, features.impressions, 7, (1, 1, 1))).tolist()) == {-1}


@pytest.fixture
def shop() -> Dataset:
    count = 4
    nulls: dict[str, NDArray[np.float64] | pa.Array] = {
        "category": pa.nulls(count, pa.string()),
        "price": pa.nulls(count, pa.float64()),
        "created_at": pa.nulls(count, pa.int64()),
    }
    rows = [
        ("r1", "v", "i3", START, 0, 1.0),
        ("r1", "v", "i0", START, 2, 0.5),
        ("r1", "w", "i1", START, 0, 1.0),
        ("r2", "w", "i1", START, 0, 0.25),
        ("r1", "v", "i2", START + 1, 0, 1.0),
    ]
    return Dataset(
        DatasetSpec.model_validate({"name": "shop", "events": {"view": 1}}),
        pa.table({"item_id": [f"i{n}" for n in range(count)], "available": [True] * count} | nulls),
        pa.table({"user_id": ["u", "v", "w"]}),
        pa.table(
            {
                "user_id": ["u", "v", "w"],
                "item_id": ["i0", "i2", "i1"],
                "event": ["view"] * 3,
                "timestamp": [START, START + 1, START + 7],
            }
        ),
        pa.Table.from_pylist([dict(zip(IMPRESSIONS.names, row, strict=True)) for row in rows], IMPRESSIONS),
    )


def test_a_feature_set_has_the_impressions_by_request(shop: Dataset, tmp_path: Path) -> None:
    features = extract(shop, {})
    shown = features.impressions
    assert shown.offsets.tolist() == [0, 2, 3, 4, 5]
    assert shown.user.tolist() == [1, 2, 2, 1]
    assert shown.timestamp.tolist() == [START, START, START, START + 1]
    assert shown.item.tolist() == [4, 1, 2, 2, 3]
    assert shown.position.tolist() == [0, 2, 0, 0, 0]
    assert shown.propensity.tolist() == [1.0, 0.5, 1.0, 0.25, 1.0]
    assert first_clicks(features).tolist() == [-1, -1, 2, 2, 1]
    kinds = [getattr(shown, name).dtype for name in ("offsets", "user", "timestamp", "item", "position", "propensity")]
    assert kinds == [np.int64, np.int32, np.int64, np.int32, np.int32, np.float32]
    features.save(tmp_path)
    loaded = FeatureSet.load(tmp_path).impressions
    for name, array in vars(shown).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
        assert getattr(loaded, name).dtype == array.dtype


def test_a_feature_set_without_impressions_is_saved_and_loaded(shop: Dataset, tmp_path: Path) -> None:
    bare = Dataset(shop.spec, shop.items, shop.users, shop.events)
    extract(bare, {}).save(tmp_path)
    loaded = FeatureSet.load(tmp_path).impressions
    assert (loaded.offsets.tolist(), len(loaded.user), len(loaded.item)) == ([0], 0, 0)
