"""A release of random arrays with everything the transformer reads, small enough to write in every test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import LiveItem
from winnow import release as releases
from winnow.arrays.strings import Strings
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, TextInput
from winnow.encoders.tokens import train_tokenizer
from winnow.features.catalog_columns import column_arrays
from winnow.items import columns
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.settings import business_rules

ITEMS, USERS, EVENTS, WIDTH, LENGTH, RETRIEVED = 300, 20, 1200, 8, 12, 60
UNAVAILABLE = frozenset(range(5, ITEMS, 10))

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=5),
        Feature(name="tags", kind="categorical", width=2, cardinality=7),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        Feature(name="price", kind="numeric", mean=2.0, scale=0.5),
        Feature(name="grams", kind="numeric", mean=10.0, scale=5.0),
    ),
    user=(Feature(name="country", kind="categorical", cardinality=4),),
    events=("view", "buy", "dislike"),
    event_values=(1.0, 4.0, -5.0),
    event_windows_ms=(86_400_000, 86_400_000, 86_400_000),
    conversions=("buy",),
)
VOCABULARIES = {
    "category": ["", "books", "games", "music", "toys"],
    "tags": ["", "red", "blue", "green", "small", "large", "old"],
    "user_country": ["", "pt", "fi", "is"],
}
DECLARED = DeclaredColumns(categorical=("tags",), numeric=("grams",))
INPUTS = EncoderInputs(
    audio=AudioInput(dimension=4, rate=8000, samples=800),
    image=ImageInput(dimension=4, size=8),
    text=TextInput(dimension=4, context_length=8),
)
TEXTS = ["a red ball", "a blue book", "an old game", "loud green music"]


def write_release(
    folder: Path,
    number: int,
    seed: int = 0,
    inputs: EncoderInputs = INPUTS,
    models: Mapping[str, str] | tuple[str, ...] = (),
    holdout: releases.Holdout = "none",
    item: str = "item-",
    rules: str = "",
    items: int = ITEMS,
    catalog_position: str = "",
    more: Mapping[str, NDArray[Any] | Strings] | None = None,
    documents: Mapping[str, str] | None = None,
) -> Release:
    """Write a release folder as the export does, with random arrays.

    Args:
        folder: the release is written to ``folder/number``.
        number: of the release.
        seed: of the arrays.
        inputs: of the encoders.
        models: names of the models in the manifest; or name -> SHA-256 of its graph.
        holdout: as in the manifest.
        item: prefix of the items' ids.
        rules: its business rules, as YAML or JSON.
        items: number of items.
        catalog_position: as in the manifest.
        more: further arrays, by name.
        documents: further files, by name.
    """
    rng, apart = np.random.default_rng(seed), np.random.default_rng(seed + 1000)
    item_rows = np.zeros(items + 1, SCHEMA.item_dtype)
    item_rows["index"] = np.arange(items + 1)
    item_rows["available"] = [index % 10 != 5 for index in range(items + 1)]
    item_rows["categorical"][1:, 0] = rng.integers(1, 5, items)
    item_rows["numeric"] = rng.random(item_rows["numeric"].shape)
    user_rows = np.zeros(USERS, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(USERS)
    user_rows["categorical"][:, 0] = rng.integers(1, 4, USERS)
    user = np.sort(rng.integers(0, USERS, EVENTS))
    vectors = rng.standard_normal((items + 1, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbours = rng.integers(1, items + 1, (items + 1, 10)).astype(np.int32)
    column_values, described = column_arrays(catalog_of(item_rows), DECLARED)
    taken = rng.integers(1, items + 1, EVENTS).astype(np.int32)
    return releases.write(
        folder / str(number),
        {
            **id_arrays(["", *(f"{item}{index}" for index in range(1, items + 1))]),
            "user_ids": (user_ids := np.array([f"user-{index}" for index in range(USERS)])),
            "user_order": np.argsort(user_ids, kind="stable").astype(np.int32),
            "item_rows": item_rows,
            "user_rows": user_rows,
            "offsets": np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64),
            "item": taken,
            "item_events": np.bincount(taken, minlength=items + 1).astype(np.int32),
            "map_items": np.arange(1, items + 1, dtype=np.int32),
            "map_points": np.random.default_rng(seed + 2000).integers(0, 65_536, (items, 2), np.uint16),
            "event": rng.integers(1, 3, EVENTS).astype(np.int32),
            "grade": np.ones(EVENTS, np.float32),
            "timestamp": np.arange(1_700_000_000_000, 1_700_000_000_000 + EVENTS * 60_000, 60_000, dtype=np.int64),
            "item_vectors": vectors,
            "item_identity": apart.standard_normal(vectors.shape).astype(np.float16),
            **{f"embeddings_{name}": apart.random((items + 1, 4)).astype(np.float16) for name in inputs.widths},
            "neighbours": neighbours,
            "neighbour_weights": rng.random(neighbours.shape).astype(np.float32),
            "popular": (rng.permutation(items) + 1).astype(np.int32),
            **column_values,
            **(more or {}),
        },
        {
            columns.FILE: described,
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": json.dumps(VOCABULARIES),
            "encoders.json": inputs.model_dump_json(),
            "tokenizer.json": train_tokenizer(TEXTS, 300, 8).to_str(),
            **({business_rules.FILE: rules} if rules else {}),
            **(documents or {}),
        },
        number=number,
        dataset=f"tiny-{number}",
        source=releases.BuildInputs(),
        holdout=holdout,
        as_of=1_800_000_000_000,
        history_length=LENGTH,
        candidates={"retriever": RETRIEVED, "covisitation": 40, "trending": 50},
        schema_digest=SCHEMA.digest,
        catalog_position=catalog_position,
        models=dict(models) if isinstance(models, Mapping) else dict.fromkeys(models, ""),
        parity={},
    )


def catalog_of(item_rows: NDArray[np.void]) -> pa.Table:
    """The items' table behind the rows: every third item without a price, every fourth without tags."""
    items = len(item_rows) - 1
    numbers = np.arange(1, items + 1)
    tags = VOCABULARIES["tags"][1:]
    return pa.table(
        {
            "title": [f"title {number}" for number in numbers],
            "description": pa.nulls(items, pa.string()),
            "category": [VOCABULARIES["category"][code] for code in item_rows["categorical"][1:, 0].tolist()],
            "price": pa.array([None if number % 3 == 0 else float(number) for number in numbers], pa.float64()),
            "created_at": pa.array([1_700_000_000_000 + int(number) for number in numbers], pa.int64()),
            "available": pa.array((item_rows["available"][1:] > 0).tolist()),
            "tags": pa.array(
                [None if number % 4 == 0 else [tags[number % 6], tags[number % 5]] for number in numbers],
                pa.list_(pa.string()),
            ),
            "grams": pa.nulls(items, pa.float64()),
        }
    )


def write_bare_release(
    folder: Path, schema: FeatureSchema, arrays: Mapping[str, NDArray[Any] | Strings], holdout: str, **documents: str
) -> Release:
    """Write release 1 with these arrays alone, for code that reads no others.

    Args:
        folder: the release is written to ``folder/1``.
        schema: of the release.
        arrays: name -> array.
        holdout: as in the manifest.
        documents: name -> text, written as ``name.json``.
    """
    return releases.write(
        folder / "1",
        arrays,
        {"schema.json": schema.model_dump_json()} | {f"{name}.json": text for name, text in documents.items()},
        number=1,
        dataset="tiny",
        source=releases.BuildInputs(),
        holdout=holdout,
        as_of=10,
        history_length=5,
        candidates={},
        schema_digest=schema.digest,
        models={},
        parity={},
    )


def projection(name: str, rows: int, columns: int) -> NDArray[np.float32]:
    """A random matrix, the same for the same name: float32 [rows, columns]."""
    seed = int.from_bytes(name.encode(), "little") % 2**32
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def new_item(release: Release, item_id: str, slot: int, **row: Any) -> LiveItem:
    """A new item of the category ``books`` with a random vector; ``row`` sets fields of its row."""
    packed = np.zeros(1, SCHEMA.item_dtype)
    packed["index"], packed["available"], packed["categorical"][0, 0] = ITEMS + 1 + slot, 1, 1
    for name, value in row.items():
        packed[name] = value
    vector = projection(item_id, 1, WIDTH)[0]
    title = item_id.replace("-", " ")
    document = {"title": title, "category": "books", "available": bool(packed[0]["available"])}
    return LiveItem(item_id, slot, vector / np.linalg.norm(vector), packed[0], title, document)
