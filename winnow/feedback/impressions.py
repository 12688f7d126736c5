"""The codec of the features in the impression stream: the exact bytes that the models received.

Every impression has a digest of its features. The impressions of one request in :data:`ONE_IN` contain the features
themselves, so that they can be recomputed and compared (:mod:`winnow.evaluation.skew`).
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
"""One request in this many is logged with its features (1 to 2 kB): thousands of rows in an hour of traffic."""


PLAIN = "plain"
"""The form of a recommendation by the whole funnel, in a stream's entry without a field ``form``.

What an entry of another form shows is no choice of the funnel alone (a caller's own list, a list as it is), or was made
from events that the log does not have at that time (a session). So training, evaluations, the gate and the skew check
read entries of this form only.
"""


def is_plain(fields: Mapping[bytes, bytes]) -> bool:
    """Whether an entry of the stream is of a plain recommendation."""
    return fields.get(b"form", PLAIN.encode()) == PLAIN.encode()


class Served(NamedTuple):
    """The features of one recommendation.

    Attributes:
        items: structured [k] of the schema's ``item_dtype``, the rows of the shown items in order.
        user: structured scalar of the schema's ``user_dtype``.
        history: the user's history as it was read.
    """

    items: NDArray[np.void]
    user: np.void
    history: History


def sampled(request_id: str) -> bool:
    """Whether the features of this request are logged: a function of the id alone."""
    return crc32(request_id.encode()) % ONE_IN == 0


def encode(served: Served) -> dict[str, bytes]:
    """The fields of an entry that contain the features."""
    return {
        "item_rows": served.items.tobytes(),
        "user_row": served.user.tobytes(),
        "history_items": served.history.items.astype("<i4").tobytes(),
        "history_events": served.history.events.astype("<i4").tobytes(),
        "history_timestamps": served.history.timestamps.astype("<i8").tobytes(),
    }


def digest(served: Served) -> str:
    """A digest of item and user rows, 16 hexadecimal digits."""
    return blake2b(served.items.tobytes() + served.user.tobytes(), digest_size=8).hexdigest()


def decode(fields: Mapping[bytes, bytes], schema: FeatureSchema) -> Served:
    """Parse the features of an impression.

    Args:
        fields: fields of an entry of the impression stream.
        schema: feature schema of the release that wrote the entry.

    Raises:
        ValueError: the entry has no features, or they are not whole rows of this schema.
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
