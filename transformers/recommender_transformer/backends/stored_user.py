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
        shown: the items that the user was shown (:mod:`winnow.store.business.shown`); empty without a rule of fatigue.
    """

    row: bytes | None
    seen: bytes | None
    categories: bytes | None
    history: Sequence[bytes]
    recent: Sequence[bytes]
    shown: Sequence[tuple[bytes, float]] = ()

    @property
    def is_unknown(self) -> bool:
        """Whether Redis holds nothing of the user."""
        nothing_happened = not self.history and not self.recent and not self.shown
        return self.row is self.seen is self.categories is None and nothing_happened

    @property
    def digest(self) -> bytes:
        """A digest of all values: equal for equal values only."""
        shown = (part for item_id, score in self.shown for part in (item_id, struct.pack("<d", score)))
        parts = (self.row, self.seen, self.categories, *self.history, *self.recent, *shown)
        sizes = [-1 if part is None else len(part) for part in parts]
        packed = struct.pack(f"<{len(sizes) + 2}q", len(self.history), len(self.recent), *sizes)
        return blake2b(packed + b"".join(part or b"" for part in parts), digest_size=16).digest()


NOT_STORED = StoredUser(None, None, None, (), ())
"""A user of whom Redis holds nothing."""
