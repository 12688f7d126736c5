"""Releases of unusual catalogs, which the explorer reads in the place of the served one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tests.support.tiny_release import DECLARED, ITEMS, LENGTH, SCHEMA, USERS, VOCABULARIES, WIDTH
from winnow import release as releases
from winnow.arrays.strings import Strings
from winnow.features.catalog_columns import column_arrays
from winnow.items import columns
from winnow.items.arrays import id_arrays
from winnow.release import Release

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
"""A text that a page must show as it is."""


def write_catalog(
    home: Path,
    number: int,
    items: int = ITEMS,
    ids: list[str] | None = None,
    titles: list[str | None] | None = None,
    categories: list[str | None] | None = None,
    with_map: bool = True,
    with_events: bool = True,
) -> Release:
    """Write ``home/releases/number`` with what the explorer's pages of items read.

    Args:
        home: WINNOW_HOME.
        number: of the release.
        items: number of items.
        ids: of the items; ``item-1`` and so on by default.
        titles: of the items; ``title 1`` and so on by default.
        categories: of the items; none by default.
        with_map: whether the release has a map.
        with_events: whether it has the number of each item's events: 0 for item 1, 1 for item 2 and so on.
    """
    random = np.random.default_rng(items)
    titles = [f"title {item}" for item in range(1, items + 1)] if titles is None else titles
    table = pa.table(
        {
            "title": pa.array(titles, pa.string()),
            "description": pa.nulls(items, pa.string()),
            "category": pa.array(categories or [None] * items, pa.string()),
            "price": pa.nulls(items, pa.float64()),
            "created_at": pa.nulls(items, pa.int64()),
            "available": pa.array([True] * items, pa.bool_()),
            "tags": pa.nulls(items, pa.list_(pa.string())),
            "grams": pa.nulls(items, pa.float64()),
        }
    )
    column_values, described = column_arrays(table, DECLARED)
    names = sorted({name for name in categories or [] if name})
    neighbours = random.integers(0, items + 1, (items + 1, 5)).astype(np.int32)
    arrays: dict[str, NDArray[Any] | Strings] = {
        **id_arrays(["", *(ids or (f"item-{item}" for item in range(1, items + 1)))]),
        "user_ids": np.array([f"user-{user}" for user in range(USERS)]),
        "item_rows": np.zeros(items + 1, SCHEMA.item_dtype),
        "offsets": np.zeros(USERS + 1, np.int64),
        "item": np.zeros(0, np.int32),
        "item_vectors": random.standard_normal((items + 1, WIDTH)).astype(np.float32),
        "neighbours": neighbours,
        "neighbour_weights": random.random(neighbours.shape).astype(np.float32),
        "popular": (random.permutation(items) + 1).astype(np.int32),
        **column_values,
    }
    if with_events:
        arrays["item_events"] = np.maximum(np.arange(-1, items), 0).astype(np.int32)
    if with_map:
        shown = np.arange(1, min(items, 2000) + 1, dtype=np.int32)
        arrays |= {"map_items": shown, "map_points": random.integers(0, 65_536, (len(shown), 2), np.uint16)}
    return releases.write(
        home / "releases" / str(number),
        arrays,
        {
            columns.FILE: described,
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": json.dumps(VOCABULARIES | {"category": ["", *names]}),
        },
        number=number,
        dataset="unusual",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=1_800_000_000_000,
        history_length=LENGTH,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )
