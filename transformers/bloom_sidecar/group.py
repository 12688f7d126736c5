"""A release's consumer group on the event stream: joining it, taking over from the dead, how far it is, leaving it."""

import time
from typing import Any, NamedTuple, cast

from redis.exceptions import ResponseError

from winnow.store.connection import Client
from winnow.store.events import Entry, entered_ms, position
from winnow.store.keys import EVENTS, TRIMMED

BATCH = 256
_BLOCK_MS = 500
_STALE_MS = 5_000
"""After this long an entry that was delivered but not acknowledged is taken over: its sidecar is gone."""

_LOOK_S = 1.0
"""How often such entries are looked for."""

_GONE_MS = 3_600_000
"""After this long without a word a member that has nothing left to acknowledge is struck off."""

_COUNTED = 1000
"""Unread entries are counted up to here where Redis (before 7) does not say how many there are."""

_JOIN = """
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for field = 1, #group, 2 do of[group[field]] = group[field + 1] end
  if of.name == ARGV[1] then return {of['last-delivered-id'], redis.call('GET', KEYS[2])} end
end
"""
"""In one step: a group that has a member is waited for, so nothing is trimmed that it was not told of."""

_STRIKE_OFF = """
for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for field = 1, #member, 2 do of[member[field]] = member[field + 1] end
  if of.pending == 0 and (of.name == ARGV[2] or of.idle > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end
"""
"""In one step, because what is pending is deleted with its member."""


class Lag(NamedTuple):
    """How far a group is behind the stream.

    Attributes:
        pending: entries read and not acknowledged.
        behind: entries not read; at most 1000 where Redis is older than 7.
        seconds: age of the oldest of either; 0 where there is none.
    """

    pending: int
    behind: int
    seconds: float


class Group:
    """A member of a consumer group.

    Args:
        client: connection to Redis, answering bytes.
        group: name of the group.
        name: of this member, unlike any other's.
    """

    def __init__(self, client: Client, group: str, name: str) -> None:
        self._client = client
        self._group = group
        self._name = name
        self._looked_for_stale = 0.0
        self._cursor = b"0-0"
        self._unfinished = False

    def join(self) -> bytes | None:
        """Make the group where it is missing, from the stream's beginning: a new release catches up on all of it.

        To be done again after Redis failed; what this member had read by then comes first.

        Returns:
            Id of the last entry that was trimmed before the group had read it; none where it missed nothing.
        """
        self._unfinished = True
        delivered, trimmed = self._client.eval(_JOIN, 2, EVENTS, TRIMMED, self._group, self._name)
        return trimmed if trimmed and position(delivered) < position(trimmed) else None

    def leave(self) -> None:
        """Strike off this member and those that died long ago, unless they hold entries that are not acknowledged."""
        self._client.eval(_STRIKE_OFF, 1, EVENTS, self._group, self._name, _GONE_MS)

    def new(self) -> list[Entry]:
        """Entries that no member has read yet; waits for one for half a second."""
        if self._unfinished:
            entries = self._read("0")
            self._unfinished = False
            if entries:
                return entries
        return self._read(">")

    def stale(self) -> list[Entry]:
        """Entries that some member read and did not acknowledge in time: a batch, more of them at the next call."""
        if self._cursor == b"0-0":
            if time.monotonic() - self._looked_for_stale < _LOOK_S:
                return []
            self._looked_for_stale = time.monotonic()
        claimed = self._client.xautoclaim(EVENTS, self._group, self._name, _STALE_MS, self._cursor, count=BATCH)
        self._cursor = claimed[0]
        # An entry that was trimmed comes back empty; nobody can apply it.
        gone = [stream_id for stream_id, fields in claimed[1] if not fields]
        if gone:
            self._client.xack(EVENTS, self._group, *gone)
        return [(stream_id, fields) for stream_id, fields in claimed[1] if fields]

    def lag(self) -> Lag:
        """How far the group is behind."""
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
        # The client's types cover every dialect of its protocol; with bytes and one stream the answer is this.
        read = cast(
            "list[tuple[bytes, list[Entry]]]",
            self._client.xreadgroup(self._group, self._name, {EVENTS: after}, count=BATCH, block=_BLOCK_MS),
        )
        # An entry that was deleted from the stream comes back empty.
        return [(stream_id, fields) for _, entries in read for stream_id, fields in entries if fields]
