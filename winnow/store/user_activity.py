"""A user's activity: the state that events change, and how they change it.

It consists of the history, the seen filter, the category filter and, for a sampled user, the shadow set. The sidecar
(which applies the event stream), publishing and the rebuild all use this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter, window_end
from winnow.bloom.shadow import MAX_ITEMS, Shadow, sampled
from winnow.store import history
from winnow.store.events import Event
from winnow.store.keys import Keys
from winnow.store.stored_items import StoredItem


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
    _stored: list[bytes] = field(default_factory=list)
    """The history that Redis holds, to write only new entries."""

    @classmethod
    def new(cls, user_id: str) -> UserActivity:
        """The activity of a user without events."""
        return cls(user_id, shadow={} if sampled(user_id) else None)

    @classmethod
    def read(cls, pipe: Any, release: int, user_id: str) -> UserActivity:
        """Read a user's activity.

        Args:
            pipe: a pipeline after ``WATCH``, which executes commands immediately.
            release: number of the release.
            user_id: id of the user.

        Raises:
            RedisError: Redis does not answer.
            ValueError: a stored filter has an invalid format.
        """
        keys = Keys(release)
        # Not mget(): redis-py's cluster pipelines refuse it even for keys of one slot.
        seen, categories = pipe.execute_command("MGET", keys.seen(user_id), keys.categories(user_id))
        held = pipe.lrange(keys.history(user_id), 0, history.KEPT - 1)
        activity = cls.new(user_id)
        activity.history, activity._stored = list(held), list(held)
        if seen is not None:
            activity.seen = SeenFilter.from_bytes(seen)
            if activity.shadow is not None:
                # No stored shadow set: it exceeded its maximum. An incomplete one would report false positives.
                exact = pipe.zrange(keys.shadow(user_id), 0, -1, withscores=True)
                activity.shadow = {_value(member): int(end) for member, end in exact} or None
        if categories is not None:
            activity.categories = CategoryFilter.from_bytes(categories)
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
            if self.shadow is not None:
                end = window_end(event.at_ms, window_ms)
                self.shadow[value] = max(end, self.shadow.get(value, 0))
            # An event of an undeclared type marks the item as seen, but the models have no code for the history.
            if event.code:
                entries.append(history.encode(event.timestamp, event.code, event.item_id))
        self._merge(entries)
        if self.shadow is not None:
            self.shadow = {value: end for value, end in self.shadow.items() if end in self.seen.windows}
            self.shadow = self.shadow if len(self.shadow) <= MAX_ITEMS else None
        return dropped

    def write(self, pipe: Any, release: int) -> int:
        """Queue the commands that replace the stored activity, as it was read, with this one.

        Args:
            pipe: the pipeline or transaction.
            release: number of the release.

        Returns:
            Size of the serialised seen filter, in bytes.
        """
        keys = Keys(release)
        key, stored = keys.history(self.user_id), set(self._stored)
        new = [entry for entry in self.history if entry not in stored]
        if new and self.history == (new + self._stored)[: history.KEPT]:
            pipe.lpush(key, *reversed(new))
            pipe.ltrim(key, 0, history.KEPT - 1)
        elif new:
            pipe.delete(key)
            pipe.rpush(key, *self.history)
        packed = self.seen.to_bytes()
        if self.seen.windows:
            pipe.set(keys.seen(self.user_id), packed)
        if len(self.categories):
            pipe.set(keys.categories(self.user_id), self.categories.to_bytes())
        if sampled(self.user_id):
            pipe.delete(keys.shadow(self.user_id))
            if self.shadow:
                members = {value.to_bytes(16, "little", signed=True): end for value, end in self.shadow.items()}
                pipe.zadd(keys.shadow(self.user_id), members)
        return len(packed)

    def _merge(self, entries: Iterable[bytes]) -> None:
        """Insert entries by time and keep the newest; the result does not depend on the order of the calls."""
        held = set(self.history)
        new = [entry for entry in dict.fromkeys(entries) if entry not in held]
        # Of entries with equal timestamps, the last in the stream is the newest.
        merged = sorted(new[::-1] + self.history, key=history.timestamp, reverse=True)
        self.history = merged[: history.KEPT]


def watched(release: int, user_id: str) -> list[str]:
    """The keys that :class:`UserActivity` reads and writes, all in one hash slot."""
    keys = Keys(release)
    return [keys.seen(user_id), keys.history(user_id), keys.categories(user_id), keys.shadow(user_id)]


def clear(pipe: Any, release: int, user_id: str) -> None:
    """Queue the removal of a user's activity."""
    for key in watched(release, user_id):
        pipe.delete(key)


def _value(member: bytes) -> int:
    return int.from_bytes(member, "little", signed=True)
