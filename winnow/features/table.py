"""The output of feature extraction: arrays in index space, saved in one folder."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.schema import FeatureSchema


@dataclass(frozen=True)
class Interactions:
    """The log in index space, sorted by user, then time, then position in the log.

    User ``u``'s events are the rows ``offsets[u]:offsets[u + 1]``.

    Attributes:
        offsets: int64 [users + 1].
        item: int32 [events], 1..n (0 is padding).
        event: int32 [events], event type codes, 1..E.
        timestamp: int64 [events], milliseconds since the epoch.
        grade: float32 [events], the share of its type's value that the event has: 1 unless its type is graded.
    """

    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    event: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    grade: NDArray[np.float32]

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def user(self) -> NDArray[np.int64]:
        """The user of every row: int64 [events]."""
        return np.repeat(np.arange(self.users), np.diff(self.offsets))

    def user_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The users of some rows: int64, in the shape of ``rows``."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def of(self, user: int) -> slice:
        """The rows of a user."""
        return slice(int(self.offsets[user]), int(self.offsets[user + 1]))


@dataclass(frozen=True)
class ImpressionLog:
    """The impressions in index space, requests in the order of time.

    Request ``r`` showed the rows ``offsets[r]:offsets[r + 1]``, in the order of their positions. Positions have gaps
    where an item is no longer in the catalog.

    Attributes:
        offsets: int64 [requests + 1].
        user: int32 [requests], rows of users.
        timestamp: int64 [requests], milliseconds since the epoch.
        item: int32 [shown], 1..n.
        position: int32 [shown], from 0.
        propensity: float32 [shown], the probability that the item was shown at its position, in (0, 1].
    """

    offsets: NDArray[np.int64]
    user: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    item: NDArray[np.int32]
    position: NDArray[np.int32]
    propensity: NDArray[np.float32]

    @classmethod
    def empty(cls) -> Self:
        """Of a data set without impressions."""
        none = np.zeros(0, np.int32)
        return cls(np.zeros(1, np.int64), none, np.zeros(0, np.int64), none, none, np.zeros(0, np.float32))


@dataclass(frozen=True)
class FeatureSet:
    """A data set as arrays for the models.

    Item ``i`` (1..n) is row ``i`` of every item array; row 0 is the padding and unknown item. Users are rows
    0..users-1, in the order of ``user_ids``.

    Attributes:
        schema: names, widths and cardinalities of the columns.
        vocabularies: categorical feature -> its values; a value's code is its position, 0 being the empty string.
        item_ids: n + 1 strings, ``item_ids[0] == ""``.
        user_ids: str [users].
        item_rows: structured [n + 1] of ``schema.item_dtype``, as of ``as_of``: the rows that Redis serves.
        user_rows: structured [users] of ``schema.user_dtype``.
        embeddings: modality name -> float32 [n + 1, d], unit length, zeros where the item lacks the modality.
        interactions: the log.
        as_of: milliseconds since the epoch; features of the rows use events before it.
        impressions: what users were shown; empty where it was not logged.
    """

    schema: FeatureSchema
    vocabularies: dict[str, list[str]]
    item_ids: Strings
    user_ids: NDArray[np.str_]
    item_rows: NDArray[np.void]
    user_rows: NDArray[np.void]
    embeddings: dict[str, NDArray[np.float32]]
    interactions: Interactions
    as_of: int
    impressions: ImpressionLog = field(default_factory=ImpressionLog.empty)

    @property
    def items(self) -> int:
        """Number of items, without the padding row."""
        return len(self.item_ids) - 1

    @property
    def modalities(self) -> NDArray[np.void]:
        """Which content each item has: structured [n + 1], a bool for each modality."""
        found = np.zeros(self.items + 1, [(name, "?") for name in sorted(self.embeddings)])
        for name, vectors in self.embeddings.items():
            found[name] = vectors.any(axis=1)
        return found

    def save(self, folder: Path) -> None:
        """Write the set as ``.npy`` and JSON files; none is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        self.item_ids.save(folder, "item_ids")
        for name, array in self._arrays().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        (folder / "schema.json").write_text(self.schema.model_dump_json(indent=1))
        (folder / "vocabularies.json").write_text(json.dumps(self.vocabularies, ensure_ascii=False))
        (folder / "set.json").write_text(json.dumps({"as_of": self.as_of, "modalities": sorted(self.embeddings)}))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        log, shown = self.interactions, self.impressions
        arrays = {
            "user_ids": self.user_ids,
            "item_rows": self.item_rows,
            "user_rows": self.user_rows,
            "offsets": log.offsets,
            "item": log.item,
            "event": log.event,
            "timestamp": log.timestamp,
            "grade": log.grade,
        }
        arrays |= {f"embedding_{name}": array for name, array in self.embeddings.items()}
        return arrays | {f"impression_{part.name}": getattr(shown, part.name) for part in fields(ImpressionLog)}

    @classmethod
    def load(cls, folder: Path) -> "FeatureSet":
        """Map a set that :meth:`save` wrote into memory, read-only.

        Processes that train together share the pages, and the memory of one does not grow with the log.
        """

        def array(name: str) -> NDArray[Any]:
            loaded: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            return loaded

        described = json.loads((folder / "set.json").read_text())
        return cls(
            schema=FeatureSchema.model_validate_json((folder / "schema.json").read_text()),
            vocabularies=json.loads((folder / "vocabularies.json").read_text()),
            item_ids=Strings.load(folder, "item_ids"),
            user_ids=array("user_ids"),
            item_rows=array("item_rows"),
            user_rows=array("user_rows"),
            embeddings={name: array(f"embedding_{name}") for name in described["modalities"]},
            interactions=Interactions(*(array(field.name) for field in fields(Interactions))),
            as_of=described["as_of"],
            impressions=ImpressionLog(*(array(f"impression_{part.name}") for part in fields(ImpressionLog))),
        )
