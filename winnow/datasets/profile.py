"""A profile of the data that a release was built from: counts, missing values, shares of categories and quantiles.

It is a document of the release, so that a later release's data can be compared with it after the data itself has
changed or is gone (:mod:`winnow.lifecycle.gate`). Its size does not grow with the data.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.quantiles import quantiles
from winnow.release import Release, numbers

FILE = "profile.json"

MOST_VALUES = 100
"""Values of a categorical column whose share is kept; the others are rarer."""


class Column(BaseModel):
    """A column of a table.

    Attributes:
        missing: share of the rows without a value.
        shares: of a categorical column, value -> share of the rows that have it; of a list-valued column, a row has
            each of its values.
        quantiles: of a numeric column with values, those at :data:`winnow.datasets.quantiles.LEVELS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: float
    shares: dict[str, float] = {}
    quantiles: list[float] = []


class DataProfile(BaseModel):
    """The data of a release, events that were held out for evaluation included.

    Attributes:
        rows: table (``items``, ``users``, ``events``) -> rows.
        event_types: declared event type -> its events.
        newest: timestamp of the newest event, milliseconds since the epoch.
        columns: ``table.column`` -> the column; ids and times are left out. ``events.category`` is that of the events'
            items.
        modalities: modality with an encoder -> share of the items that have an embedding of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: dict[str, int]
    event_types: dict[str, int]
    newest: int
    columns: dict[str, Column]
    modalities: dict[str, float]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        event_types: Mapping[str, int],
        newest: int,
        embeddings: Mapping[str, NDArray[np.float32]],
        item_events: NDArray[np.int64],
    ) -> Self:
        """Profile a data set.

        Args:
            dataset: its items and users; the events are not read.
            event_types: event type -> its events.
            newest: timestamp of the newest event.
            embeddings: modality -> float32 [items + 1, D], zeros where an item has none.
            item_events: int64 [items], events of each item.
        """
        items, users, spec = dataset.items, dataset.users, dataset.spec
        choices = {"items": {"category", *spec.items.categorical}, "users": set(spec.users.categorical)}
        numbers = {"items": {"price", *spec.items.numeric}, "users": set(spec.users.numeric)}
        texts = {"items": {"title", "description", "image", "audio"}, "users": set[str]()}
        columns = {
            f"{table}.{name}": _numbers(rows[name])
            if name in numbers[table]
            else _column(rows[name], name in choices[table])
            for table, rows in (("items", items), ("users", users))
            for name in rows.column_names
            if name in choices[table] | numbers[table] | texts[table]
        }
        if "category" in items.column_names:
            columns["events.category"] = _column(items["category"], True, item_events)
        return cls(
            rows={"items": items.num_rows, "users": users.num_rows, "events": sum(event_types.values())},
            event_types=dict(event_types),
            newest=newest,
            columns=columns,
            modalities={
                name: float(vectors[1:].any(axis=1).mean()) if len(vectors) > 1 else 0.0
                for name, vectors in embeddings.items()
            },
        )


def profile_of(release: Release) -> DataProfile | None:
    """The profile of a release's data; ``None`` for a release that was built before profiles were kept."""
    if FILE not in release.manifest.files:
        return None
    return DataProfile.model_validate_json((release.folder / FILE).read_bytes())


def twin_of(release: Release) -> Release | None:
    """The newest release that was built from another's data without the held-out events; ``None`` without one.

    A release that was built with the hold-out is its own twin. Inputs alone do not tell, because the files at an
    address change.
    """
    if release.manifest.holdout == "last":
        return release
    root, profile = release.folder.parent, profile_of(release)
    for number in reversed(numbers(root)):
        found = Release.open(root / str(number))
        alike = found.manifest.holdout == "last" and found.manifest.source.is_like(release.manifest.source)
        if alike and profile_of(found) == profile:
            return found
    return None


def _numbers(values: pa.ChunkedArray) -> Column:
    """A numeric column."""
    numbers = values.drop_null().to_numpy()
    return Column(missing=1 - len(numbers) / len(values) if len(values) else 0.0, quantiles=quantiles(numbers))


def _column(values: pa.ChunkedArray, categorical: bool, weights: NDArray[np.int64] | None = None) -> Column:
    """A column whose every cell stands for one row, or for as many as its weight."""
    whole = values.combine_chunks()
    times = np.ones(len(whole), np.int64) if weights is None else weights
    rows = int(times.sum())
    if not rows:
        return Column(missing=0.0)
    if pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type):
        filled = pc.fill_null(pc.greater(pc.list_value_length(whole), 0), False)
        # A value that a row repeats counts once.
        pairs = pa.table({"row": pc.list_parent_indices(whole), "value": pc.list_flatten(whole)})
        cells = pairs.group_by(["row", "value"]).aggregate([])
    else:
        filled = pc.is_valid(whole)
        cells = pa.table({"row": np.arange(len(whole)), "value": whole})
        if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
            filled = pc.fill_null(pc.not_equal(whole, ""), False)
    missing = 1 - int(times[filled.to_numpy(zero_copy_only=False)].sum()) / rows
    return Column(missing=missing, shares=_shares(cells.drop_null(), times, rows) if categorical else {})


def _shares(cells: pa.Table, times: NDArray[np.int64], rows: int) -> dict[str, float]:
    """Value -> share of the rows; ``cells`` has the columns ``row`` and ``value``."""
    coded = cells["value"].combine_chunks().dictionary_encode()
    counts = np.bincount(coded.indices.to_numpy(), times[cells["row"].to_numpy()], len(coded.dictionary))
    pairs = zip(coded.dictionary.to_pylist(), counts.tolist(), strict=True)
    most = sorted(((value, count) for value, count in pairs if count), key=lambda pair: (-pair[1], pair[0]))
    return {str(value): count / rows for value, count in most[:MOST_VALUES]}
