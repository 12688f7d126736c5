"""The impressions of a data set in index space."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.table import ImpressionLog

_REQUEST = ("request_id", "user_id", "timestamp")
"""Together they name a request: a caller may send the same id twice."""


def impression_log(dataset: Dataset) -> ImpressionLog:
    """The impressions of a data set, whose users and items they name."""
    table = dataset.impressions
    user = pc.index_in(table["user_id"], dataset.users["user_id"]).to_numpy()
    timestamp = table["timestamp"].to_numpy()
    item = pc.index_in(table["item_id"], dataset.items["item_id"]).to_numpy() + 1
    starts = np.flatnonzero(np.any([_differs(table[name]) for name in _REQUEST], axis=0))
    return ImpressionLog(
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
