"""The impressions in index space: what every request showed, and what its user did with it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.datasets.canonical.dataset import Dataset

_REQUEST = ("request_id", "user_id", "timestamp")
"""Together they name a request: a caller may send the same id twice."""


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

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The impressions of a data set, whose users and items they name."""
        table = dataset.impressions
        user = pc.index_in(table["user_id"], dataset.users["user_id"]).to_numpy()
        timestamp = table["timestamp"].to_numpy()
        item = pc.index_in(table["item_id"], dataset.items["item_id"]).to_numpy() + 1
        starts = np.flatnonzero(np.any([_differs(table[name]) for name in _REQUEST], axis=0))
        return cls(
            offsets=np.append(starts, table.num_rows).astype(np.int64),
            user=user[starts].astype(np.int32),
            timestamp=timestamp[starts].astype(np.int64),
            item=item.astype(np.int32),
            position=table["position"].to_numpy().astype(np.int32),
            propensity=table["propensity"].to_numpy().astype(np.float32),
        )


def _differs(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Whether a value differs from the one before it, as the first does; bool [rows]."""
    differs = np.ones(len(column), np.bool_)
    differs[1:] = pc.not_equal(column.slice(1), column.slice(0, max(len(column) - 1, 0))).to_numpy()
    return differs
