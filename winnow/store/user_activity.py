"""A user's activity: the state that events change, and how they change it.

It consists of the history, the seen filter, the category filter and, for a sampled user, the shadow set. The sidecar
(which applies the event stream), publishing and the rebuild all use this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, NamedTuple

from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter, window_end
from winnow.bloom.shadow import MAX_ITEMS, Shadow, sampled
from winnow.store import history
from winnow.store.bulk import Command
from winnow.store.connection import Client
from winnow.store.events import Event
from winnow.store.keys import StateKeys
from winnow.store.stored_items import StoredItem

_REPLACE = f"""
local held = redis.call('LRANGE', KEYS[2], 0, {history.KEPT - 1})
local filters = (redis.call('GET', KEYS[1]) or '') .. '\\n' .. (redis.call('GET', KEYS[3]) or '')
if redis.sha1hex(filters .. '\\n' .. table.concat(held, '\\n')) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
if ARGV[3] ~= '' then redis.call('SET', KEYS[3], ARGV[3]) end
redis.call('DEL', KEYS[2], KEYS[4])
local last = 4 + tonumber(ARGV[4])
if last > 4 then redis.call('RPUSH', KEYS[2], unpack(ARGV, 5, last)) end
for position = last + 1, #ARGV, 2 do redis.call('ZADD', KEYS[4], ARGV[position], ARGV[position + 1]) end
return 1
"""
"""Replaces a user's activity unless it has changed since it was read: many users are written in one round trip, where a
transaction takes four for each."""


class _Stored(NamedTuple):
    """What Redis holds of a user, to write only what differs.

    Attributes:
        history: entries, newest first.
        seen: the serialised seen filter; empty without one.
        categories: the serialised category filter; empty without one.
        shadow: the shadow set; ``None`` without one.
    """

    history: list[bytes]
    seen: bytes
    categories: bytes
    shadow: Shadow | None


@dataclass
class UserActivity:
    """History and filters of a user.

    Attributes:
        user_id: id of the user.
        history: entries of :mod:`winnow.store.history`, newest first.
        seen: seen items.
        categories: touched categories.
        shadow: the exact items of ``seen``; ``None`` for a user who is not sampled or has too many seen items.
    """

    user_id: str
    history: list[bytes] = field(default_factory=list)
    seen: SeenFilter = field(default_factory=SeenFilter)
    categories: CategoryFilter = field(default_factory=CategoryFilter)
    shadow: Shadow | None = None
    _stored: _Stored = field(default_factory=lambda: _Stored([], b"", b"", None))

    @classmethod
    def new(cls, user_id: str) -> UserActivity:
        """The activity of a user without events."""
        return cls(user_id, shadow={} if sampled(user_id) else None)

    @classmethod
    def read(cls, pipe: Any, state: StateKeys, user_id: str) -> UserActivity:
        """Read a user's activity.

        Args:
            pipe: a pipeline after ``WATCH``, which executes commands immediately.
            state: the state that contains it.
            user_id: id of the user.

        Raises:
            RedisError: Redis does not answer.
            ValueError: a stored filter has an invalid format.
        """
        # Not mget(): redis-py's cluster pipelines refuse it even for keys of one slot.
        packed = pipe.execute_command("MGET", state.seen(user_id), state.categories(user_id))
        held = pipe.lrange(state.history(user_id), 0, history.KEPT - 1)
        exact = pipe.zrange(state.shadow(user_id), 0, -1, withscores=True) if sampled(user_id) else []
        return cls.decode(user_id, packed, held, exact)

    @classmethod
    def read_all(cls, client: Client, state: StateKeys, user_ids: Sequence[str]) -> list[UserActivity | None]:
        """Read the activities of several users in one round trip, not watched.

        Returns:
            The activity of each user; ``None`` where a stored filter has an invalid format.

        Raises:
            RedisError: Redis does not answer.
        """
        pipe = client.pipeline(transaction=False)
        for user_id in user_ids:
            pipe.execute_command("MGET", state.seen(user_id), state.categories(user_id))
            pipe.lrange(state.history(user_id), 0, history.KEPT - 1)
            pipe.zrange(state.shadow(user_id), 0, -1, withscores=True)
        answers = pipe.execute()
        parts = zip(user_ids, answers[::3], answers[1::3], answers[2::3], strict=True)
        found: list[UserActivity | None] = []
        for user_id, packed, held, exact in parts:
            try:
                found.append(cls.decode(user_id, packed, held, exact))
            except ValueError:
                found.append(None)
        return found

    @classmethod
    def decode(cls, user_id: str, packed: Sequence[bytes | None], held: Sequence[bytes], exact: Any) -> UserActivity:
        """Parse what Redis holds of a user: both filters, the history, and the shadow set with scores.

        Raises:
            ValueError: a filter has an invalid format.
        """
        seen, categories = (part or b"" for part in packed)
        activity = cls.new(user_id)
        activity.history = list(held)
        if seen:
            activity.seen = SeenFilter.from_bytes(seen)
            if activity.shadow is not None:
                # No stored shadow set: it exceeded its maximum. An incomplete one would report false positives.
                activity.shadow = {_value(member): int(end) for member, end in exact} or None
        if categories:
            activity.categories = CategoryFilter.from_bytes(categories)
        activity._stored = _Stored(list(held), seen, categories, dict(activity.shadow) if activity.shadow else None)
        return activity

    def apply(self, events: Iterable[Event], items: Mapping[str, StoredItem], window_ms: int) -> int:
        """Apply events; an event that was applied before changes nothing.

        Args:
            events: events of this user, in stream order.
            items: item id -> stored item; the categories of absent items are not touched.
            window_ms: window length of the seen filter, in milliseconds.

        Returns:
            The number of windows dropped from the seen filter.
        """
        dropped, entries = 0, []
        for event in events:
            value = item_hash(event.item_id)
            dropped += self.seen.update([value], event.at_ms, window_ms)
            if event.item_id in items:
                self.categories.update(items[event.item_id].categories)
            self._remember([value], window_end(event.at_ms, window_ms))
            # An event of an undeclared type marks the item as seen, but the models have no code for the history.
            if event.code:
                entries.append(history.encode(event.timestamp, event.code, event.item_id))
        self._insert(entries)
        return dropped

    def merge(
        self, logged: UserActivity, items: Sequence[int], categories: Sequence[int], at_ms: int, window_ms: int
    ) -> None:
        """Add a user's activity from the log of a release; what is contained already changes nothing.

        Args:
            logged: history and filters of the log alone.
            items: hashes of the log's items, which ``logged.seen`` contains.
            categories: hashes of their categories, which ``logged.categories`` contains.
            at_ms: when the items count as seen, in milliseconds since the epoch.
            window_ms: window length of the seen filter, in milliseconds.
        """
        self._insert(reversed(logged.history))
        if self.seen.windows:
            self.seen.update(items, at_ms, window_ms)
        else:
            self.seen = logged.seen
        if len(self.categories):
            self.categories.update(categories)
        else:
            self.categories = logged.categories
        self._remember(items, window_end(at_ms, window_ms))

    @property
    def changed(self) -> bool:
        """Whether the activity differs from what Redis held when it was read."""
        return _Stored(self.history, *self.packed, self.shadow or None) != self._stored

    def write(self, pipe: Any, state: StateKeys) -> int:
        """Queue the commands that replace the stored activity, as it was read, with this one; none if they are equal.

        Args:
            pipe: the pipeline or transaction.
            state: the state that contains it.

        Returns:
            Size of the serialised seen filter, in bytes.
        """
        key, stored = state.history(self.user_id), self._stored
        held = set(stored.history)
        new = [entry for entry in self.history if entry not in held]
        if new and self.history == (new + stored.history)[: history.KEPT]:
            pipe.lpush(key, *reversed(new))
            pipe.ltrim(key, 0, history.KEPT - 1)
        elif new:
            pipe.delete(key)
            pipe.rpush(key, *self.history)
        packed, touched = self.packed
        if packed != stored.seen:
            pipe.set(state.seen(self.user_id), packed)
        if touched != stored.categories:
            pipe.set(state.categories(self.user_id), touched)
        if (self.shadow or None) != stored.shadow:
            pipe.delete(state.shadow(self.user_id))
            if self.shadow:
                pipe.zadd(state.shadow(self.user_id), shadow_members(self.shadow))
        return len(packed)

    def replacement(self, state: StateKeys) -> Command:
        """A command that does what :meth:`write` does if Redis still holds what was read; replies 1, otherwise 0."""
        held = b"\n".join((self._stored.seen, self._stored.categories, b"\n".join(self._stored.history)))
        shadow = (part for value, end in shadow_members(self.shadow).items() for part in (end, value))
        values = (
            sha1(held, usedforsecurity=False).hexdigest(),
            *self.packed,
            len(self.history),
            *self.history,
            *shadow,
        )
        keys = watched(state, self.user_id)
        return ("EVAL", _REPLACE, len(keys), *keys, *values)

    @property
    def packed(self) -> tuple[bytes, bytes]:
        """The serialised filters; empty bytes for one without values."""
        seen = self.seen.to_bytes() if self.seen.windows else b""
        return seen, self.categories.to_bytes() if len(self.categories) else b""

    def _remember(self, items: Iterable[int], end: int) -> None:
        """Add items to the shadow set of a sampled user, and drop those of expired windows."""
        if self.shadow is not None:
            for value in items:
                self.shadow[value] = max(end, self.shadow.get(value, 0))
            self.shadow = {value: end for value, end in self.shadow.items() if end in self.seen.windows}
            self.shadow = self.shadow if len(self.shadow) <= MAX_ITEMS else None

    def _insert(self, entries: Iterable[bytes]) -> None:
        """Insert entries by time and keep the newest; the result does not depend on the order of the calls."""
        held = set(self.history)
        new = [entry for entry in dict.fromkeys(entries) if entry not in held]
        # Of entries with equal timestamps, the last in the stream is the newest.
        merged = sorted(new[::-1] + self.history, key=history.timestamp, reverse=True)
        self.history = merged[: history.KEPT]


def watched(state: StateKeys, user_id: str) -> list[str]:
    """The keys that :class:`UserActivity` reads and writes, all in one hash slot."""
    return [state.seen(user_id), state.history(user_id), state.categories(user_id), state.shadow(user_id)]


def clear(pipe: Any, state: StateKeys, user_id: str) -> None:
    """Queue the removal of a user's activity."""
    for key in watched(state, user_id):
        pipe.delete(key)


def shadow_members(shadow: Shadow | None) -> dict[bytes, int]:
    """Members and scores of a shadow set in Redis."""
    return {value.to_bytes(16, "little", signed=True): end for value, end in (shadow or {}).items()}


def _value(member: bytes) -> int:
    return int.from_bytes(member, "little", signed=True)
