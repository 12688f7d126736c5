"""The stream of user changes, which outlives releases.

It has an entry for each change of attributes, each merge and each erasure, in their order. Every release applies it to
its own rows, `winnow events export` writes it to files, and the next build applies these to the users table. The entry
of an erasure has a digest in place of the user's id.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.erasures.digest import digest, key_id
from winnow.erasures.ledger import ERASED, MERGED
from winnow.errors import WinnowError
from winnow.store.connection import Client
from winnow.store.keys import EXPORT_GROUP, USER_CHANGES, USER_CHANGES_TRIMMED

MERGE, ERASE = "merge", "erase"
"""Actions of entries; changes of attributes have the action ``set``."""

MAXIMUM = 1_000_000
"""Maximum length of the stream; changes beyond it are refused until `winnow events export` has made room."""

ALIAS_DAYS = 30
"""For how long new events of a merged user count for the user that they were merged into."""

_KEPT_MS = 7 * 86_400_000
"""Exported changes stay for this long, for releases that are not served at the moment."""

_ADD = """
if redis.call('XLEN', KEYS[1]) + (#ARGV - 1) / 2 > tonumber(ARGV[#ARGV]) then return {} end
local ids = {}
for position = 1, #ARGV - 1, 2 do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', 'action', 'set', 'user_id', ARGV[position],
    'attributes', ARGV[position + 1])
end
return ids
"""

_MERGE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for position = 1, 2 do
  local found = redis.call('HGET', KEYS[2], ARGV[position])
  local merge = found and cjson.decode(found)
  if merge and merge['until_ms'] >= now and not (position == 1 and merge['into'] == ARGV[2]) then
    return {position, merge['into']}
  end
end
local id = redis.call('XADD', KEYS[1], '*', 'action', 'merge', 'user_id', ARGV[1], 'into', ARGV[2])
local at = string.match(id, '^%d+')
redis.call('HSET', KEYS[2], ARGV[1], string.format('{"into":%s,"at_ms":%s,"until_ms":%.0f}',
  cjson.encode(ARGV[2]), at, tonumber(at) + tonumber(ARGV[3])))
return {0, id}
"""

_ERASE = """
local id = redis.call('XADD', KEYS[1], '*', 'action', 'erase', 'digest', ARGV[1], 'key', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], (string.match(id, '^%d+')))
return id
"""
"""The moment of an erasure is that of its entry: every event of the user that is older is in the stream already."""

_TRIM = """
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local waiting = redis.call('XPENDING', KEYS[1], ARGV[2])
if #first == 0 or waiting[1] > 0 then return 0 end
local last = redis.call('XREVRANGE', KEYS[1], '(' .. ARGV[1], '-', 'COUNT', 1)
if #last == 0 then return 0 end
redis.call('SET', KEYS[2], last[1][1])
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
"""


class ChangesFull(WinnowError):
    """The changes do not fit the stream; none of them was made."""


class NotMerged(WinnowError):
    """One of the users was merged before; nothing was changed.

    Attributes:
        field: name of the user in the request: ``user_id`` or ``into``.
        other: the user that it was merged into.
    """

    def __init__(self, field: str, other: str) -> None:
        super().__init__(f"{field}: was merged into another user already; use that one's id")
        self.field, self.other = field, other


def append_attributes(client: Client, changes: Sequence[tuple[str, bytes]]) -> list[str]:
    """Append changes of attributes, all or none; returns the id of each entry.

    Args:
        client: connection to Redis that returns bytes.
        changes: user id, and JSON of the columns that change.

    Raises:
        ChangesFull: the stream is full.
        RedisError: Redis does not answer.
    """
    flat = [part for change in changes for part in change]
    ids: list[bytes] = client.eval(_ADD, 1, USER_CHANGES, *flat, MAXIMUM)
    if not ids:
        raise ChangesFull(
            f"the stream of user changes is full: it takes {MAXIMUM:,} entries that are not exported; "
            "`winnow events export` makes room"
        )
    return [entry.decode() for entry in ids]


def append_merge(client: Client, user_id: str, into: str) -> str:
    """Append a merge and enter it in the ledger; returns the id of the entry.

    Raises:
        NotMerged: one of the users was merged into another one before.
        RedisError: Redis does not answer.
    """
    position, value = client.eval(_MERGE, 2, USER_CHANGES, MERGED, user_id, into, ALIAS_DAYS * 86_400_000)
    if position:
        raise NotMerged(("user_id", "into")[position - 1], value.decode())
    return str(value.decode())


def append_erasure(client: Client, user_id: str) -> str:
    """Append an erasure and enter it in the ledger, both without the id; returns the id of the entry.

    Raises:
        RedisError: Redis does not answer.
    """
    entry: Any = client.eval(_ERASE, 2, USER_CHANGES, ERASED, digest(user_id), key_id())
    return str(entry.decode())


def trim(client: Client) -> int:
    """Remove exported entries that are older than a week; returns their number.

    Raises:
        RedisError: Redis does not answer.
    """
    first = time.time_ns() // 1_000_000 - _KEPT_MS
    return int(client.eval(_TRIM, 2, USER_CHANGES, USER_CHANGES_TRIMMED, f"{first}-0", EXPORT_GROUP))


def users_of(entry: Mapping[bytes, bytes]) -> list[str]:
    """The users whose rows an entry changes."""
    name = b"into" if entry.get(b"action") == MERGE.encode() else b"user_id"
    return [entry[name].decode()] if name in entry else []
