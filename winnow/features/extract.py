"""Feature extraction: from the tables of a data set to the arrays of a feature set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.columns import encode_categorical, encode_numeric, padded_strings
from winnow.features.impressions import impression_log
from winnow.features.numerics import ItemNumerics
from winnow.features.point_in_time import PointInTime
from winnow.features.table import FeatureSet, Interactions
from winnow.schema import DAY_MS, NUMERIC_FEATURES, Feature, FeatureSchema, row_dtype


@dataclass(frozen=True)
class FeatureEncoding:
    """The encoding of an earlier extraction, with which equal values get equal codes and scores.

    Attributes:
        schema: the features, with means and scales.
        vocabularies: the vocabularies.
        as_of: moment of the extraction, milliseconds since the epoch.
    """

    schema: FeatureSchema
    vocabularies: Mapping[str, list[str]]
    as_of: int


def extract(
    dataset: Dataset,
    embeddings: dict[str, NDArray[np.float32]],
    encoding: FeatureEncoding | None = None,
    computed: PointInTime | None = None,
) -> FeatureSet:
    """Compute the feature set of ``dataset`` as of just after its last event.

    Args:
        dataset: validated tables without the held-out events.
        embeddings: modality -> float32 [items, d] in the order of the items table.
        encoding: the encoding of an earlier extraction, to repeat it.
        computed: numbers computed from the data set's log; ``None`` computes them here.
    """
    spec = dataset.spec
    computed = computed or PointInTime.of(dataset)
    log = computed.log
    events, item_features, user_features = spec.events, spec.items, spec.users
    vocabularies: dict[str, list[str]] = {}

    of_items = {feature.name: feature for feature in encoding.schema.item} if encoding else {}
    of_users = {feature.name: feature for feature in encoding.schema.user} if encoding else {}
    words = encoding.vocabularies if encoding else {}

    columns = [
        encode_categorical(name, dataset.items[name], (of_items[name], words[name]) if name in of_items else None)
        for name in ("category", *item_features.categorical)
    ]
    vocabularies |= {feature.name: values for feature, values, _ in columns}
    numbers = [encode_numeric(name, column, of_items.get(name)) for name, column in _declared_numbers(dataset).items()]
    user_columns = [
        encode_categorical(
            name, dataset.users[name], (of_users[name], words[f"user_{name}"]) if name in of_users else None
        )
        for name in user_features.categorical
    ]
    vocabularies |= {f"user_{feature.name}": values for feature, values, _ in user_columns}
    user_numbers = [encode_numeric(name, dataset.users[name], of_users.get(name)) for name in user_features.numeric]

    schema = FeatureSchema(
        item=(
            *(feature for feature, _, _ in columns),
            *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
            *(feature for feature, _ in numbers),
        ),
        user=(*(feature for feature, _, _ in user_columns), *(feature for feature, _ in user_numbers)),
        events=tuple(events),
        event_values=tuple(kind.value for kind in events.values()),
        event_windows_ms=tuple(round(kind.window_days * DAY_MS) for kind in events.values()),
        event_full_amounts=tuple(kind.full_amount or 0.0 for kind in events.values()),
        conversions=tuple(spec.conversions),
        repeats=spec.repeats,
    )
    as_of = encoding.as_of if encoding else int(log["timestamp"].to_numpy().max()) + 1
    numerics = _numerics(dataset, computed.popularity, [scores for _, scores in numbers])
    everything = np.arange(dataset.items.num_rows + 1, dtype=np.int32)
    item_numeric = numerics.at(everything, np.full(len(everything), as_of, np.int64))
    item_rows = _rows(schema.item, [_padded(codes) for _, _, codes in columns], item_numeric)
    item_rows["available"][1:] = dataset.items["available"].to_numpy(zero_copy_only=False)
    item_rows[0] = 0
    user_numeric = np.stack([score for _, score in user_numbers], axis=1) if user_numbers else np.zeros((0, 0))
    user_rows = _rows(schema.user, [codes for _, _, codes in user_columns], user_numeric, dataset.users.num_rows)
    return FeatureSet(
        schema=schema,
        vocabularies=vocabularies,
        item_ids=padded_strings(dataset.items["item_id"]),
        user_ids=np.array(dataset.users["user_id"].to_pylist(), np.str_),
        item_rows=item_rows,
        user_rows=user_rows,
        embeddings={name: _padded(array) for name, array in embeddings.items()},
        interactions=Interactions(
            offsets=np.searchsorted(log["user"].to_numpy(), np.arange(dataset.users.num_rows + 1)).astype(np.int64),
            item=log["item"].to_numpy(),
            event=log["event"].to_numpy(),
            timestamp=log["timestamp"].to_numpy(),
            grade=log["grade"].to_numpy().astype(np.float32),
        ),
        as_of=as_of,
        impressions=impression_log(dataset),
    )


def item_numerics(dataset: Dataset, popularity: pa.Table) -> ItemNumerics:
    """The point-in-time numbers of all items; ``popularity`` was computed from the log of ``dataset``."""
    declared = [encode_numeric(name, column)[1] for name, column in _declared_numbers(dataset).items()]
    return _numerics(dataset, popularity, declared)


def _declared_numbers(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """The numeric item features that do not change with time, by name, before standardisation."""
    return {
        "price": _log_price(dataset.items["price"]),
        **{name: dataset.items[name] for name in dataset.spec.items.numeric},
    }


def _numerics(dataset: Dataset, popularity: pa.Table, declared: list[NDArray[np.float32]]) -> ItemNumerics:
    created = _padded(pc.fill_null(dataset.items["created_at"], 0).to_numpy(zero_copy_only=False).astype(np.int64))
    return ItemNumerics.of(popularity, created, np.stack([_padded(numbers) for numbers in declared], axis=1))


def _log_price(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.log1p(column)


def _padded(array: NDArray[Any]) -> NDArray[Any]:
    """``array`` after a row of zeros, so that item ``i`` is row ``i``."""
    return np.concatenate([np.zeros_like(array[:1], shape=(1, *array.shape[1:])), array])


def _rows(
    features: tuple[Feature, ...],
    codes: list[NDArray[Any]],
    numeric: NDArray[Any],
    count: int | None = None,
) -> NDArray[np.void]:
    count = len(numeric) if count is None else count
    rows = np.zeros(count, row_dtype(features))
    rows["index"] = np.arange(count)
    rows["available"] = 1
    if codes:
        rows["categorical"] = np.concatenate(codes, axis=1)
    if numeric.size:
        rows["numeric"] = numeric
    return rows


def extract_folder(dataset: Path, encoders: Path, out: Path, point_in_time: str = "") -> FeatureSet:
    """:func:`extract` from a dataset folder and an encoders folder (its ``embeddings/*.npy``) into ``out``.

    Args:
        dataset: folder of a saved data set.
        encoders: folder of the encoders.
        out: folder for the feature set and its :class:`~winnow.features.numerics.ItemNumerics`.
        point_in_time: Spark's output, a folder or ``s3://`` address; empty to compute it here.

    Raises:
        WinnowError: Spark's output is incomplete, or of another data set.
    """
    embeddings = {
        path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
        for path in sorted((encoders / "embeddings").glob("*.npy"))
    }
    tables = Dataset.load(dataset, events=bool(point_in_time))
    computed = PointInTime.read(point_in_time, tables) if point_in_time else PointInTime.of_folder(dataset, tables)
    features = extract(tables, embeddings, computed=computed)
    features.save(out)
    item_numerics(tables, computed.popularity).save(out)
    return features
