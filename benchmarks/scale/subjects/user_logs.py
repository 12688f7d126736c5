"""A release folder of as many users as a test asks for: what publication reads, written without a build."""

import json
from pathlib import Path

import numpy as np

from winnow import release as releases
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema

ITEMS = 100_000
MEDIAN_EVENTS = 10
CATEGORIES = 400

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=CATEGORIES),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
    ),
    user=(
        Feature(name="country", kind="categorical", cardinality=200),
        Feature(name="language", kind="categorical", cardinality=50),
        Feature(name="age", kind="numeric", mean=40.0, scale=15.0),
    ),
    events=("view", "buy"),
    event_values=(1.0, 4.0),
    event_windows_ms=(86_400_000,) * 2,
    conversions=("buy",),
)
_BEGIN_MS = 1_700_000_000_000
_SPAN_MS = 30 * 86_400_000


def write(folder: Path, number: int, users: int, more: float = 0.0) -> Release:
    """Write release ``number`` under ``folder``.

    The logs' lengths are log-normal (median 10, mean 16, a few of hundreds); a tenth of the items has most events.

    Args:
        folder: the release is written to ``folder/number``.
        number: of the release.
        users: number of users.
        more: share of the users who have three events more than in a release with 0.
    """
    rng = np.random.default_rng(7)
    lengths = np.clip(rng.lognormal(np.log(MEDIAN_EVENTS), 1.0, users).astype(np.int64), 1, 2000)
    added = np.where(np.arange(users) < more * users, 3, 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = int(offsets[-1])
    item = 1 + (ITEMS * rng.random(events) ** 3).astype(np.int32)
    event = rng.choice(np.array([1, 2], np.int32), events, p=[0.9, 0.1])
    timestamp = _BEGIN_MS + np.sort(rng.integers(0, _SPAN_MS, events))
    item_rows = np.zeros(ITEMS + 1, SCHEMA.item_dtype)
    item_rows["index"] = np.arange(ITEMS + 1)
    item_rows["categorical"][1:, 0] = rng.integers(1, CATEGORIES, ITEMS)
    user_rows = np.zeros(users, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(users)
    user_rows["categorical"] = rng.integers(1, 50, user_rows["categorical"].shape)
    # Times ascend within each user, since they ascend over the whole array.
    if added.any():
        late = np.repeat(np.arange(users), added)
        place = np.repeat(offsets[1:], added)
        item = np.insert(item, place, 1 + rng.integers(0, ITEMS, len(late)).astype(np.int32))
        event = np.insert(event, place, 1)
        timestamp = np.insert(timestamp, place, _BEGIN_MS + _SPAN_MS + np.arange(len(late)) % 86_400_000)
        offsets = np.concatenate([[0], np.cumsum(lengths + added)])
    return releases.write(
        folder / str(number),
        {
            **id_arrays(["", *(f"item-{index}" for index in range(1, ITEMS + 1))]),
            "user_ids": np.array([f"user-{index}" for index in range(users)]),
            "item_rows": item_rows,
            "user_rows": user_rows,
            "offsets": offsets.astype(np.int64),
            "item": item,
            "event": event,
            "grade": np.ones(len(item), np.float32),
            "timestamp": timestamp.astype(np.int64),
            "popular": np.arange(1, 101, dtype=np.int32),
        },
        {
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": json.dumps({"category": ["", *(f"category-{n}" for n in range(1, CATEGORIES))]}),
        },
        number=number,
        dataset="users",
        source=releases.BuildInputs(data="/generated"),
        holdout="none",
        as_of=_BEGIN_MS + _SPAN_MS + 86_400_000,
        history_length=50,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )
