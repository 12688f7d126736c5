"""Erase a user from Redis: keys, streams, ledger; and the proof.

The erasure is entered in the ledger first, and the user's tombstone set, so that nothing which is in flight writes the
user again. Then the keys and the entries of the streams are removed, in small steps between which Redis answers others,
until a whole search finds nothing. Every step can be repeated: an erasure that was interrupted is completed by doing it
again.

What Redis had of users that were merged into this one is of the same person and goes, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from winnow.erasures.digest import digest, key_id
from winnow.erasures.ledger import MERGED, Ledger, moment_of
from winnow.erasures.tombstone import Tombstone, tombstone_key
from winnow.errors import WinnowError
from winnow.store import keys as names
from winnow.store.connection import Client
from winnow.store.keys import ERASURES, EVENTS, IMPRESSIONS, USER_CHANGES
from winnow.users.changes import append_erasure

_UNLOGGED_S = 60
"""Answers that were computed before the erasure are logged within this time, or not at all."""

_PASSES = 5
_KEYS = 1000
"""Keys per step of the search: Redis answers others between the steps."""

_ENTRIES = {EVENTS: 250, USER_CHANGES: 250, IMPRESSIONS: 50}
"""Entries per step of the search in each stream, likewise; impressions have a kilobyte each."""

_FIND = """
local read = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local wanted = {}
for position = 3, #ARGV do wanted[ARGV[position]] = true end
local found = {}
for _, entry in ipairs(read) do
  local is_user, event = false, ''
  for field = 1, #entry[2], 2 do
    local name, value = entry[2][field], entry[2][field + 1]
    if (name == 'user_id' or name == 'into') and wanted[value] then is_user = true end
    if name == 'event_id' then event = value end
  end
  if is_user then found[#found + 1], found[#found + 2] = entry[1], event end
end
return {#read, #read > 0 and read[#read][1] or '', found}
"""
"""In Redis, so that the entries of others are neither sent nor parsed."""

_DROP = """
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  redis.call('XACK', KEYS[1], group[2], unpack(ARGV))
end
return redis.call('XDEL', KEYS[1], unpack(ARGV))
"""
"""An entry that a sidecar has read is acknowledged, or it would be claimed for ever."""


class Erasure(NamedTuple):
    """What an erasure did; nothing in it names the user.

    Attributes:
        digest: digest of the id, as in the ledger.
        key: tells the key of the digest.
        at_ms: moment of the erasure, by Redis's clock.
        identities: number of ids of the person: one, and those that were merged into it.
        searched: what was searched -> number of keys or entries that the last search saw.
        removed: what was searched -> number of keys or entries that were removed.
        found: what was searched -> number that the last search found; all 0.
        began: when it began, ISO 8601.
        ended: when it ended.
    """

    digest: str
    key: str
    at_ms: int
    identities: int
    searched: dict[str, int]
    removed: dict[str, int]
    found: dict[str, int]
    began: str
    ended: str

    @property
    def name(self) -> str:
        """Names the erasure among the proofs."""
        return f"{self.digest}-{self.at_ms}"


class MergedAway(WinnowError):
    """The user is another by now."""


class StillThere(WinnowError):
    """Something keeps writing the user."""


def erase(client: Client, user_id: str, progress: Callable[[str], None] = lambda _: None) -> Erasure:
    """Erase a user, and store the proof.

    Args:
        client: blocking connection to Redis that returns bytes.
        user_id: the user, who may be unknown.
        progress: called with what is done next.

    Raises:
        MergedAway: the user was merged into another, who is the same person.
        StillThere: after five searches Redis still has something of the user from before the erasure.
        RedisError: Redis does not answer; erasing again is safe.
    """
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    ids = identities(client, user_id)
    at_ms = max([_bury(client, one) for one in ids])
    removed = dict.fromkeys(("keys", EVENTS, IMPRESSIONS, "user changes"), 0)
    for number in range(_PASSES):
        progress("remove" if not number else "search again")
        seen, found = _sweep(client, ids, at_ms, removed)
        if not any(found.values()):
            # Last: an erasure that is repeated must know which ids are the same person.
            for one in ids:
                client.hdel(MERGED, one)
            ended = datetime.now(UTC).isoformat(timespec="milliseconds")
            done = Erasure(digest(user_id), key_id(), at_ms, len(ids), seen, removed, found, began, ended)
            client.hset(ERASURES, done.name, orjson.dumps(done._asdict()))
            return done
    raise StillThere("the user's data is written again and again: stop what sends it, and repeat the erasure")


def identities(client: Client, user_id: str) -> list[str]:
    """The ids of a person: the given one, and those that were merged into it.

    Raises:
        MergedAway: the given one was merged into another.
    """
    ledger = Ledger.read(client)
    if user_id in ledger.merged:
        raise MergedAway(
            f"user_id: was merged into {ledger.merged[user_id].into!r}: erase that user, which erases this one, too"
        )
    return [user_id, *ledger.merged_into(user_id)]


def keep_proof(client: Client, done: Erasure, proof: dict[str, Any]) -> None:
    """Replace the stored proof of an erasure by one that covers more."""
    client.hset(ERASURES, done.name, orjson.dumps(proof))


def proofs(client: Client) -> list[dict[str, Any]]:
    """All stored proofs, oldest first."""
    held: dict[bytes, bytes] = client.hgetall(ERASURES)  # type: ignore[assignment]
    return sorted((orjson.loads(value) for value in held.values()), key=lambda proof: proof["at_ms"])


def _bury(client: Client, user_id: str) -> int:
    """Enter the erasure in the ledger and set the tombstone; returns its moment."""
    at_ms = moment_of(append_erasure(client, user_id))
    client.set(tombstone_key(user_id), Tombstone(at_ms).packed)
    client.set(names.unlogged(user_id), 1, ex=_UNLOGGED_S)
    return at_ms


def _sweep(
    client: Client, ids: Sequence[str], at_ms: int, removed: dict[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Search everything once and remove what is found; returns the numbers searched and found."""
    seen, found = dict.fromkeys(removed, 0), dict.fromkeys(removed, 0)
    for user_id in ids:
        for scanned, keys in _keys_of(client, user_id):
            seen["keys"] += scanned
            found["keys"] += len(keys)
            if keys:
                removed["keys"] += int(client.unlink(*keys))
    for stream, name in ((EVENTS, EVENTS), (IMPRESSIONS, IMPRESSIONS), (USER_CHANGES, "user changes")):
        for scanned, entries, event_ids in _entries_of(client, stream, ids, at_ms):
            seen[name] += scanned
            found[name] += len(entries)
            if entries:
                removed[name] += int(client.eval(_DROP, 1, stream, *entries))
            if event_ids:
                client.delete(*map(names.event_id, event_ids))
    return seen, found


def _keys_of(client: Client, user_id: str) -> Iterator[tuple[int, list[bytes]]]:
    """Search all keys, of every node: yields the number of keys of a step, and those of the user among them."""
    tag = f"{{u:{user_id}}}:".encode()
    pattern = f"*{_escaped(tag.decode())}*"
    nodes: list[Any] = client.get_primaries() if hasattr(client, "get_primaries") else [None]
    for node in nodes:
        cursor, where = 0, {} if node is None else {"target_nodes": node}
        size = int(client.dbsize(**where))
        counted = 0
        while True:
            answer: Any = client.scan(cursor, match=pattern, count=_KEYS, **where)
            cursor, keys = answer if node is None else (answer[0][node.name], answer[1])
            step = min(_KEYS, size - counted) if cursor else size - counted
            counted += step
            yield step, [key for key in keys if _is_of(key, tag)]
            if not cursor:
                break


def _is_of(key: bytes, tag: bytes) -> bool:
    """Whether a key has the user's tag: ids may contain braces, and so another user's tag."""
    before, _, after = key.partition(tag)
    return b"{" not in before and b"}" not in after


def _entries_of(
    client: Client, stream: str, ids: Sequence[str], at_ms: int
) -> Iterator[tuple[int, list[bytes], list[str]]]:
    """Search a stream: yields the number of entries of a step, and the user's and their event ids.

    Events and changes from after the erasure are a newcomer's. Of impressions there are none: they are not logged yet.
    """
    if not client.exists(stream):
        return
    start = "-"
    while True:
        scanned, last, flat = client.eval(_FIND, 1, stream, start, _ENTRIES[stream], *ids)
        found = [
            (entry, event.decode())
            for entry, event in zip(flat[::2], flat[1::2], strict=True)
            if stream == IMPRESSIONS or moment_of(entry.decode()) <= at_ms
        ]
        yield scanned, [entry for entry, _ in found], [event for _, event in found if event]
        if scanned < _ENTRIES[stream]:
            return
        start = f"({last.decode()}"


def _escaped(text: str) -> str:
    """A text as a pattern that matches itself."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
