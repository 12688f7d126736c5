"""What Redis holds of a user, as it was read."""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple


class StoredUser(NamedTuple):
    """The values of a user's keys, not decoded.

    Attributes:
        row: the packed user row; `None` without one, as for the other two strings.
        seen: the serialised seen filter.
        categories: the serialised category filter.
        history: the newest entries of the history, newest first (:mod:`winnow.store.history`).
        recent: the recent events, oldest first (:mod:`winnow.store.recent_events`).
    """

    row: bytes | None
    seen: bytes | None
    categories: bytes | None
    history: Sequence[bytes]
    recent: Sequence[bytes]

    @property
    def is_unknown(self) -> bool:
        """Whether Redis holds nothing of the user."""
        return self.row is self.seen is self.categories is None and not self.history and not self.recent

    @property
    def digest(self) -> bytes:
        """A digest of all values: equal for equal values only."""
        parts = (self.row, self.seen, self.categories, *self.history, *self.recent)
        sizes = [-1 if part is None else len(part) for part in parts]
        packed = struct.pack(f"<{len(sizes) + 1}q", len(self.history), *sizes)
        return blake2b(packed + b"".join(part or b"" for part in parts), digest_size=16).digest()


NOT_STORED = StoredUser(None, None, None, (), ())
"""A user of whom Redis holds nothing."""
