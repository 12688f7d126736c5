"""Make room in the stream of events: what has been exported and applied by every release goes, and nothing else.

A release whose sidecars have all been silent for a week does not hold the others back. It is told so: should it come
back, its state is rebuilt from log, exports and stream (`winnow filters rebuild`).
"""

import time
from typing import Any, NamedTuple

from winnow.store.connection import Client
from winnow.store.events import entered_ms
from winnow.store.keys import EVENTS, EXPORT_GROUP, TRIMMED

SILENT_MS = 7 * 86_400_000
"""Longer than a weekend's outage, shorter than it takes to fill the stream at a few events a second."""

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
"""In one step, so that no group comes or falls behind between the looking and the trimming."""


class Trimmed(NamedTuple):
    """What was trimmed.

    Attributes:
        entries: how many.
        silent: groups that were not waited for.
        left: entries that are still in the stream.
    """

    entries: int
    silent: list[str]
    left: int


def trim(client: Client) -> Trimmed:
    """Trim the stream up to the first entry that somebody still needs.

    Raises:
        RedisError: Redis does not answer.
    """
    now = time.time_ns() // 1_000_000
    silent = [name for name in _groups(client) if name != EXPORT_GROUP and _is_silent(client, name, now)]
    entries = int(client.eval(_TRIM, 2, EVENTS, TRIMMED, EXPORT_GROUP, *silent))
    return Trimmed(entries, silent, int(client.xlen(EVENTS)))


def _groups(client: Client) -> list[str]:
    return [group["name"].decode() for group in client.xinfo_groups(EVENTS)]


def _is_silent(client: Client, group: str, now: int) -> bool:
    """Whether nobody has spoken for the group for a week, while entries were waiting for it."""
    members: list[dict[str, Any]] = client.xinfo_consumers(EVENTS, group)
    if any(member["idle"] < SILENT_MS for member in members):
        return False
    oldest = _oldest_needed(client, group)
    return oldest is not None and now - oldest > SILENT_MS


def _oldest_needed(client: Client, group: str) -> int | None:
    """When the oldest entry entered that the group has not acknowledged; none where it has acknowledged all."""
    waiting = client.xpending(EVENTS, group)
    delivered = next(of["last-delivered-id"] for of in client.xinfo_groups(EVENTS) if of["name"] == group.encode())
    unread: Any = client.xrange(EVENTS, b"(" + delivered, "+", count=1)
    found = [waiting["min"], *(stream_id for stream_id, _ in unread)]
    return min((entered_ms(stream_id) for stream_id in found if stream_id), default=None)
