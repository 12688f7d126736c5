"""The consumer group of a release on the event stream: join, read, claim stale entries, measure the lag, leave."""

import time
from typing import Any, NamedTuple, cast

from redis.exceptions import ResponseError

from winnow.store.connection import Client
from winnow.store.events import Entry, entered_ms, position
from winnow.store.keys import EVENTS, TRIMMED

BATCH = 256
_BLOCK_MS = 500
_STALE_MS = 5_000
"""An entry that was delivered but not acknowledged for this long is claimed: its sidecar has died."""

_CLAIM_S = 1.0
"""Interval at which stale entries are claimed."""

_GONE_MS = 3_600_000
"""A member that is idle for this long and has no pending entries is removed."""

_COUNTED = 1000
"""Maximum of the count of unread entries on Redis before 7, which does not report the lag."""

_JOIN = """
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for field = 1, #group, 2 do of[group[field]] = group[field + 1] end
  if of.name == ARGV[1] then return {of['last-delivered-id'], redis.call('GET', KEYS[2])} end
end
"""
"""One script: a trim waits for every group that has a member, so no unread entry is trimmed once the script has run."""

_REMOVE = """
for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for field = 1, #member, 2 do of[member[field]] = member[field + 1] end
  if of.pending == 0 and (of.name == ARGV[2] or of.idle > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end
"""
"""One script, because deleting a member deletes its pending entries."""


class Lag(NamedTuple):
    """The lag of a group behind the stream.

    Attributes:
        pending: entries that were read but not acknowledged.
        behind: entries that were not read; at most 1000 on Redis before 7.
        seconds: age of the oldest of these entries; 0 if there are none.
    """

    pending: int
    behind: int
    seconds: float


class Group:
    """A member of a consumer group.

    Args:
        client: connection to Redis that returns bytes.
        group: name of the group.
        name: name of this member, unique in the group.
    """

    def __init__(self, client: Client, group: str, name: str) -> None:
        self._client = client
        self._group = group
        self._name = name
        self._claimed = 0.0
        self._cursor = b"0-0"
        self._unfinished = False

    def join(self) -> bytes | None:
        """Create the group unless it exists, at the beginning of the stream: a new release applies the whole stream.

        Call it again after a Redis error; entries that this member had read by then are returned first.

        Returns:
            Id of the last entry that was trimmed before the group read it; ``None`` if the group missed nothing.
        """
        self._unfinished = True
        delivered, trimmed = self._client.eval(_JOIN, 2, EVENTS, TRIMMED, self._group, self._name)
        return trimmed if trimmed and position(delivered) < position(trimmed) else None

    def leave(self) -> None:
        """Remove this member and members idle for an hour, unless they have pending entries."""
        self._client.eval(_REMOVE, 1, EVENTS, self._group, self._name, _GONE_MS)

    def new(self) -> list[Entry]:
        """Read entries that no member has read yet; waits up to half a second for the first one."""
        if self._unfinished:
            entries = self._read("0")
            self._unfinished = False
            if entries:
                return entries
        return self._read(">")

    def stale(self) -> list[Entry]:
        """Claim entries that a member read and did not acknowledge in time: one batch per call."""
        if self._cursor == b"0-0":
            if time.monotonic() - self._claimed < _CLAIM_S:
                return []
            self._claimed = time.monotonic()
        claimed = self._client.xautoclaim(EVENTS, self._group, self._name, _STALE_MS, self._cursor, count=BATCH)
        self._cursor = claimed[0]
        # A trimmed entry is returned without fields and cannot be applied: acknowledge it.
        gone = [stream_id for stream_id, fields in claimed[1] if not fields]
        if gone:
            self._client.xack(EVENTS, self._group, *gone)
        return [(stream_id, fields) for stream_id, fields in claimed[1] if fields]

    def lag(self) -> Lag:
        """Measure the lag of the group.

        Raises:
            RedisError: Redis does not answer, or the group was deleted.
        """
        groups: list[dict[str, Any]] = self._client.xinfo_groups(EVENTS)
        ours = next((group for group in groups if group["name"] == self._group.encode()), None)
        if ours is None:
            raise ResponseError(f"NOGROUP {self._group} is gone from {EVENTS}")
        waiting = self._client.xpending(EVENTS, self._group)
        behind: int | None = ours.get("lag")
        count = _COUNTED if behind is None else 1
        unread = cast("list[Entry]", self._client.xrange(EVENTS, b"(" + ours["last-delivered-id"], "+", count=count))
        oldest = [
            entered_ms(stream_id) for stream_id in (waiting["min"], *(entry[0] for entry in unread[:1])) if stream_id
        ]
        age = max(0.0, time.time() - min(oldest) / 1000) if oldest else 0.0
        return Lag(waiting["pending"], len(unread) if behind is None else behind, age)

    def _read(self, after: str) -> list[Entry]:
        # redis-py's return type covers all response formats; for bytes and one stream it is this one.
        read = cast(
            "list[tuple[bytes, list[Entry]]]",
            self._client.xreadgroup(self._group, self._name, {EVENTS: after}, count=BATCH, block=_BLOCK_MS),
        )
        # Redis returns an entry that was deleted from the stream without fields.
        return [(stream_id, fields) for _, entries in read for stream_id, fields in entries if fields]
