"""How the features of an answer travel in the ``impressions`` stream: the very bytes that the models were given.

Every impression carries a digest of them; those of one request in :data:`ONE_IN` carry them whole, so that they can be
computed again elsewhere and compared (:mod:`winnow.evaluation.skew`).
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from winnow.schema import FeatureSchema
from winnow.store.history import History

ONE_IN = 16
"""A kilobyte or two for every sixteenth request: a busy hour still tells of thousands of rows."""


class Served(NamedTuple):
    """The features behind one answer.

    Attributes:
        items: structured [k] of the schema's ``item_dtype``, rows of the shown items in order.
        user: structured scalar of the schema's ``user_dtype``.
        history: the user's recent events, as they were read.
    """

    items: NDArray[np.void]
    user: np.void
    history: History


def sampled(request_id: str) -> bool:
    """Whether the features of this request are kept whole: the same answer everywhere, and at any time."""
    return crc32(request_id.encode()) % ONE_IN == 0


def encode(served: Served) -> dict[str, bytes]:
    """The fields of an entry that hold the features."""
    return {
        "item_rows": served.items.tobytes(),
        "user_row": served.user.tobytes(),
        "history_items": served.history.items.astype("<i4").tobytes(),
        "history_events": served.history.events.astype("<i4").tobytes(),
        "history_timestamps": served.history.timestamps.astype("<i8").tobytes(),
    }


def digest(served: Served) -> str:
    """A digest of the rows, 16 hexadecimal digits."""
    return blake2b(served.items.tobytes() + served.user.tobytes(), digest_size=8).hexdigest()


def decode(fields: Mapping[bytes, bytes], schema: FeatureSchema) -> Served:
    """Read what :func:`encode` wrote.

    Args:
        fields: of an entry of the stream.
        schema: of the release that wrote it.

    Raises:
        ValueError: there are no features, or they are not whole rows of this schema.
    """
    try:
        items = np.frombuffer(fields[b"item_rows"], schema.item_dtype)
        [user] = np.frombuffer(fields[b"user_row"], schema.user_dtype)
        history = History(
            np.frombuffer(fields[b"history_items"], "<i4").astype(np.int32),
            np.frombuffer(fields[b"history_events"], "<i4").astype(np.int32),
            np.frombuffer(fields[b"history_timestamps"], "<i8").astype(np.int64),
        )
    except KeyError as error:
        raise ValueError(f"the impression has no field {error}") from None
    lengths = [len(column) for column in history]
    if len(set(lengths)) != 1:
        raise ValueError(f"the columns of an impression's history are of lengths {lengths}")
    return Served(items, user, history)
