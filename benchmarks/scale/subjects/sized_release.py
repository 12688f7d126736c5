"""A release of random arrays in any size, with what publishing and the transformer's catalog read."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow import release as releases
from winnow.arrays.strings import Strings
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema

CATEGORIES, COUNTRIES = 50, 20
AS_OF = 1_735_689_600_000
_SPAN = 180 * 86_400_000

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=CATEGORIES),
        Feature(name="brand", kind="categorical", cardinality=CATEGORIES),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        Feature(name="price", kind="numeric"),
    ),
    user=(Feature(name="country", kind="categorical", cardinality=COUNTRIES), Feature(name="age", kind="numeric")),
    events=("view", "purchase"),
    event_values=(1.0, 5.0),
    event_windows_ms=(86_400_000, 86_400_000),
    conversions=("purchase",),
)
"""Two categorical and one numeric column of items, one of each of users."""


@dataclass(frozen=True)
class ReleaseSize:
    """Size of a release.

    Attributes:
        items: items.
        histories: int64 [users], events of each user.
        dimension: width of the item vectors.
    """

    items: int
    histories: NDArray[np.int64]
    dimension: int = 64


def equal_histories(users: int, events: int) -> NDArray[np.int64]:
    """Every user with the same number of events: int64 [users]."""
    return np.full(users, events, np.int64)


def skewed_histories(users: int, mean: float, seed: int = 0) -> NDArray[np.int64]:
    """Lognormal numbers of events with a mean, as real logs have: int64 [users], each at least 1."""
    activity = np.random.default_rng(seed).lognormal(0.0, 1.0, users)
    counts: NDArray[np.int64] = np.maximum(1, np.round(activity * mean / activity.mean())).astype(np.int64)
    return counts


def write(folder: Path, number: int, size: ReleaseSize, seed: int = 0) -> Release:
    """Write a release; the same seed gives the same users, items and log under every number.

    Args:
        folder: the release is written to ``folder/number``.
        number: of the release.
        size: how many of everything.
        seed: of the arrays.
    """
    rng = np.random.default_rng(seed)
    users, events = len(size.histories), int(size.histories.sum())
    item_rows = np.zeros(size.items + 1, SCHEMA.item_dtype)
    item_rows["index"], item_rows["available"] = np.arange(size.items + 1), True
    item_rows["categorical"][1:] = rng.integers(1, CATEGORIES, (size.items, 2))
    item_rows["numeric"] = rng.random(item_rows["numeric"].shape)
    user_rows = np.zeros(users, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(users)
    user_rows["categorical"][:, 0] = rng.integers(1, COUNTRIES, users)
    offsets = np.concatenate([[0], np.cumsum(size.histories)]).astype(np.int64)
    when = np.sort(rng.integers(0, _SPAN, events))
    ids = Strings.of(["", *(f"i{index:09d}" for index in range(1, size.items + 1))])
    return releases.write(
        folder / str(number),
        {
            **id_arrays(ids),
            "item_titles": ids,
            "user_ids": np.array([f"u{index:09d}" for index in range(users)], np.str_),
            "item_rows": item_rows,
            "user_rows": user_rows,
            "offsets": offsets,
            "item": rng.integers(1, size.items + 1, events).astype(np.int32),
            "event": rng.integers(1, 3, events).astype(np.int32),
            "grade": np.ones(events, np.float32),
            "timestamp": AS_OF - _SPAN + when,
            "item_vectors": rng.standard_normal((size.items + 1, size.dimension), np.float32),
            "popular": (rng.permutation(size.items)[:10_000] + 1).astype(np.int32),
        },
        {
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": json.dumps(
                {
                    "category": ["", *(f"category {code}" for code in range(1, CATEGORIES))],
                    "brand": ["", *(f"brand {code}" for code in range(1, CATEGORIES))],
                    "user_country": ["", *(f"country {code}" for code in range(1, COUNTRIES))],
                }
            ),
        },
        number=number,
        dataset="sized",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=AS_OF,
        history_length=50,
        candidates={"retriever": 400, "covisitation": 200, "trending": 100},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )
