"""The ledger: the users that were erased, by digest, and those that were merged into others.

It outlives releases. What reads the data of a release (publication, offline lists, a rebuild) consults it, because the
release may have been built before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from winnow.erasures.digest import digest

ERASED = "{events}:erased"
"""Hash: digest of an erased user -> moment, in milliseconds since the epoch."""

MERGED = "{events}:merged"
"""Hash: id of a merged user -> JSON of a :class:`Merge`. In the event stream's slot: the script that appends events
replaces the ids of merged users."""

_LONGEST_CHAIN = 100


class Merge(NamedTuple):
    """A user that was merged into another.

    Attributes:
        into: id of the other.
        at_ms: when, in milliseconds since the epoch by Redis's clock.
        until_ms: until then, new events with the former id are the other's.
    """

    into: str
    at_ms: int
    until_ms: int


@dataclass(frozen=True)
class Ledger:
    """The ledger as read at one moment.

    Attributes:
        erased: digest -> moment of the last erasure.
        merged: id -> merge.
    """

    erased: Mapping[str, int] = field(default_factory=dict)
    merged: Mapping[str, Merge] = field(default_factory=dict)

    @classmethod
    def read(cls, client: Any) -> Ledger:
        """Read the ledger.

        Args:
            client: a blocking connection to Redis that returns bytes.

        Raises:
            RedisError: Redis does not answer.
        """
        erased, merged = client.hgetall(ERASED), client.hgetall(MERGED)
        return cls.decode(erased, merged)

    @classmethod
    def decode(cls, erased: Mapping[bytes, bytes], merged: Mapping[bytes, bytes]) -> Ledger:
        """Parse both hashes."""
        return cls(
            {name.decode(): int(moment) for name, moment in erased.items()},
            {name.decode(): Merge(**orjson.loads(value)) for name, value in merged.items()},
        )

    def gone(self, user_ids: Sequence[str], known_ms: int) -> NDArray[np.bool_]:
        """Which users were erased or merged after a moment: bool [n].

        Args:
            user_ids: the users.
            known_ms: what happened until then is part of the data that the users come from.
        """
        found = np.zeros(len(user_ids), np.bool_)
        if self.erased:
            found |= [self.erased.get(digest(user_id), -1) > known_ms for user_id in user_ids]
        if self.merged:
            found |= [user_id in self.merged and self.merged[user_id].at_ms > known_ms for user_id in user_ids]
        return found

    def owner(self, user_id: str, at_ms: int) -> str | None:
        """Whose an event is now that entered the stream at a moment; ``None`` where that user was erased since."""
        since = at_ms
        for _ in range(_LONGEST_CHAIN):
            if self.erased and self.erased.get(digest(user_id), -1) >= since:
                return None
            merge = self.merged.get(user_id)
            if merge is None or since > merge.at_ms:
                break
            user_id, since = merge.into, merge.at_ms
        return user_id

    def merged_into(self, user_id: str) -> list[str]:
        """The users that were merged into one, directly or by way of others."""
        found: list[str] = []
        wanted = {user_id}
        while more := {name for name, merge in self.merged.items() if merge.into in wanted} - {user_id, *found}:
            found += sorted(more)
            wanted = more
        return found


def moment_of(stream_id: str) -> int:
    """When an entry of a stream was appended, in milliseconds since the epoch; -1 for the empty string."""
    return int(stream_id.partition("-")[0]) if stream_id else -1
