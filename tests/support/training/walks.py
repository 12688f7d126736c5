"""A synthetic log whose next items are predictable, and settings that train on it in seconds."""

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.features.table import FeatureSet, Interactions
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.settings.training import CandidateCounts, RetrieverSettings

ITEMS, USERS, EVENTS, LENGTH = 60, 80, 16, 10
SMALL = RetrieverSettings(
    dimension=16, layers=1, heads=2, history_length=LENGTH, batch=16, max_epochs=20, withheld=4, dropout=0.2
)
SOURCES = CandidateCounts(retriever=25, covisitation=15, trending=10)
NUMERICS = (*NUMERIC_FEATURES, "price")


def world(newcomer: bool = True) -> tuple[FeatureSet, NDArray[np.int32]]:
    """Users walk the catalog in steps of one to three; the next item of each is held out."""
    rng = np.random.default_rng(0)
    last = ITEMS - 1 if newcomer else ITEMS
    walks = (rng.integers(0, last, (USERS, 1)) + rng.integers(1, 4, (USERS, EVENTS + 1)).cumsum(axis=1)) % last + 1
    log = Interactions(
        offsets=np.arange(USERS + 1, dtype=np.int64) * EVENTS,
        item=walks[:, :-1].astype(np.int32).ravel(),
        event=rng.integers(1, 3, USERS * EVENTS).astype(np.int32),
        timestamp=(rng.integers(1, 90_000, (USERS, EVENTS)).cumsum(axis=1) * 1000).ravel(),
        grade=np.ones(USERS * EVENTS, np.float32),
    )
    schema = FeatureSchema(
        item=(
            Feature(name="category", kind="categorical", width=2, cardinality=7),
            *(Feature(name=name, kind="numeric") for name in NUMERICS),
        ),
        user=(),
        events=("view", "buy"),
        event_values=(1.0, 4.0),
        event_windows_ms=(86_400_000, 86_400_000),
        conversions=("buy",),
    )
    item_rows = np.zeros(ITEMS + 1, schema.item_dtype)
    item_rows["categorical"][1:, 0] = np.arange(ITEMS) // 10 + 1
    item_rows["numeric"] = rng.normal(size=(ITEMS + 1, len(NUMERICS)))
    image = rng.normal(size=(ITEMS + 1, 8)).astype(np.float32)
    image[::3] = 0.0
    features = FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *(f"i{item}" for item in range(1, ITEMS + 1))]),
        user_ids=np.array([f"u{user}" for user in range(USERS)]),
        item_rows=item_rows,
        user_rows=np.zeros(USERS, schema.user_dtype),
        embeddings={"image": image},
        interactions=log,
        as_of=int(log.timestamp.max()) + 1,
    )
    return features, walks[:, -1].astype(np.int32)


def numerics_at(items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.float32]:
    """Numbers of items, the same at all times: the first item is the most popular."""
    numbers = np.zeros((len(items), len(NUMERICS)), np.float32)
    numbers[:, 0] = -items
    return numbers
