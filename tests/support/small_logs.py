"""Feature sets of a few events, written out."""

from collections.abc import Sequence

import numpy as np

from winnow.features.table import FeatureSet, Interactions
from winnow.schema import DAY_MS, NUMERIC_FEATURES, Feature, FeatureSchema, Repeats


def feature_set(
    users: Sequence[Sequence[tuple[int, int, int]]],
    windows: tuple[int, int, int] = (DAY_MS, DAY_MS, DAY_MS),
    grades: Sequence[float] | None = None,
    repeats: Repeats = "hide",
    as_of: int = 100 * DAY_MS,
) -> FeatureSet:
    """Events of the types view (1), buy (10) and hate (-5), as (item, code, ms) of each user, in the order of time."""
    rows = [event for events in users for event in events]
    item, event, time = (np.array(column) for column in zip(*rows, strict=True))
    schema = FeatureSchema(
        item=tuple(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        user=(),
        events=("view", "buy", "hate"),
        event_values=(1.0, 10.0, -5.0),
        event_windows_ms=windows,
        conversions=("buy",),
        repeats=repeats,
    )
    count = int(item.max())
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=np.array(["", *(f"i{number}" for number in range(1, count + 1))]),
        user_ids=np.array([f"u{number}" for number in range(len(users))]),
        item_rows=np.zeros(count + 1, schema.item_dtype),
        user_rows=np.zeros(len(users), schema.user_dtype),
        embeddings={},
        interactions=Interactions(
            offsets=np.cumsum([0, *map(len, users)]),
            item=item.astype(np.int32),
            event=event.astype(np.int32),
            timestamp=time.astype(np.int64),
            grade=np.array(grades if grades else np.ones(len(rows)), np.float32),
        ),
        as_of=as_of,
    )
