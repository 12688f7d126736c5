"""Trim the event stream: remove the entries that are exported and that every release has applied, and no others.

A release whose sidecars have been silent for a week does not block the trim. The result names its group; should the
release be served again, `winnow filters rebuild` restores its state from log, exports and stream.
"""

import time
from typing import Any, NamedTuple

from winnow.store.connection import Client
from winnow.store.events import entered_ms
from winnow.store.keys import EVENTS, EXPORT_GROUP, TRIMMED

SILENT_MS = 7 * 86_400_000
"""One week: longer than a weekend's outage, shorter than a few events per second take to fill the stream."""

_TRIM = """
local skipped = {}
for position = 2, #ARGV do skipped[ARGV[position]] = true end
local function parts(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end
local function before(one, other)
  local ms, sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  return ms < other_ms or (ms == other_ms and sequence < other_sequence)
end
local exported, first = false, nil
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for field = 1, #group, 2 do of[group[field]] = group[field + 1] end
  exported = exported or of.name == ARGV[1]
  if not skipped[of.name] then
    local needed
    if of.pending > 0 then
      needed = redis.call('XPENDING', KEYS[1], of.name)[2]
    else
      local ms, sequence = parts(of['last-delivered-id'])
      needed = string.format('%.0f-%.0f', ms, sequence + 1)
    end
    if first == nil or before(needed, first) then first = needed end
  end
end
if not exported then return 0 end
local last = redis.call('XREVRANGE', KEYS[1], '(' .. first, '-', 'COUNT', 1)
if #last == 0 then return 0 end
redis.call('SET', KEYS[2], last[1][1])
return redis.call('XTRIM', KEYS[1], 'MINID', first)
"""
"""One script, so that no group is created or falls behind between the check and the trim."""


class TrimResult(NamedTuple):
    """The result of a trim.

    Attributes:
        entries: number of entries removed.
        silent: names of the silent groups, which were ignored.
        left: number of entries left in the stream.
    """

    entries: int
    silent: list[str]
    left: int


def trim(client: Client) -> TrimResult:
    """Remove all entries before the first one that the export or a release still needs.

    Raises:
        RedisError: Redis does not answer.
    """
    now = time.time_ns() // 1_000_000
    silent = [name for name in _groups(client) if name != EXPORT_GROUP and _is_silent(client, name, now)]
    entries = int(client.eval(_TRIM, 2, EVENTS, TRIMMED, EXPORT_GROUP, *silent))
    return TrimResult(entries, silent, int(client.xlen(EVENTS)))


def _groups(client: Client) -> list[str]:
    return [group["name"].decode() for group in client.xinfo_groups(EVENTS)]


def _is_silent(client: Client, group: str, now: int) -> bool:
    """Whether no member of the group has been active for a week while entries were waiting."""
    members: list[dict[str, Any]] = client.xinfo_consumers(EVENTS, group)
    if any(member["idle"] < SILENT_MS for member in members):
        return False
    oldest = _oldest_needed(client, group)
    return oldest is not None and now - oldest > SILENT_MS


def _oldest_needed(client: Client, group: str) -> int | None:
    """When the oldest unacknowledged entry entered the stream, in milliseconds; ``None`` when all are acknowledged."""
    waiting = client.xpending(EVENTS, group)
    delivered = next(of["last-delivered-id"] for of in client.xinfo_groups(EVENTS) if of["name"] == group.encode())
    unread: Any = client.xrange(EVENTS, b"(" + delivered, "+", count=1)
    found = [waiting["min"], *(stream_id for stream_id, _ in unread)]
    return min((entered_ms(stream_id) for stream_id in found if stream_id), default=None)
