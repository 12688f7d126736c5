"""What events make of a user: history, seen filter, category filter, and the shadow of a sampled user.

One place says it, for the sidecar that follows the stream, for publishing and for rebuilding from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter, window_end
from winnow.bloom.shadow import MOST, Shadow, sampled
from winnow.store import history
from winnow.store.events import Event
from winnow.store.item_rows import Item
from winnow.store.keys import Keys


@dataclass
class State:
    """A user's state, as far as events change it.

    Attributes:
        user_id: whose.
        history: entries of :mod:`winnow.store.history`, newest first.
        seen: items met.
        categories: categories touched.
        shadow: what is in ``seen``, exactly; none for a user who is not sampled.
    """

    user_id: str
    history: list[bytes] = field(default_factory=list)
    seen: SeenFilter = field(default_factory=SeenFilter)
    categories: CategoryFilter = field(default_factory=CategoryFilter)
    shadow: Shadow | None = None
    _stored: list[bytes] = field(default_factory=list)
    """The history as Redis has it."""

    @classmethod
    def new(cls, user_id: str) -> State:
        """The state of a user of whom Redis knows nothing."""
        return cls(user_id, shadow={} if sampled(user_id) else None)

    @classmethod
    def read(cls, pipe: Any, release: int, user_id: str) -> State:
        """Read a user, from a pipeline that is watching (and so answers at once).

        Raises:
            RedisError: Redis does not answer.
            ValueError: what it holds is not what is written there.
        """
        keys = Keys(release)
        # Spelled out, because redis-py's pipelines on a cluster refuse mget() whatever the keys.
        seen, categories = pipe.execute_command("MGET", keys.seen(user_id), keys.categories(user_id))
        held = pipe.lrange(keys.history(user_id), 0, history.KEPT - 1)
        state = cls.new(user_id)
        state.history, state._stored = list(held), list(held)
        if seen is not None:
            state.seen = SeenFilter.from_bytes(seen)
            if state.shadow is not None:
                # A filter without a shadow was too large for one; half a shadow would call its items wrong.
                exact = pipe.zrange(keys.shadow(user_id), 0, -1, withscores=True)
                state.shadow = {_value(member): int(end) for member, end in exact} or None
        if categories is not None:
            state.categories = CategoryFilter.from_bytes(categories)
        return state

    def apply(self, events: Iterable[Event], items: Mapping[str, Item], window_ms: int) -> int:
        """Take up events; one that was taken up before changes nothing.

        Args:
            events: the user's, in the order of the stream.
            items: what is known of their items.
            window_ms: length of the seen filter's windows.

        Returns:
            How many windows of the seen filter were dropped.
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
            # An event of an undeclared type still says that the user met the item, but the models have no code for it.
            if event.code:
                entries.append(history.encode(event.timestamp, event.code, event.item_id))
        self._merge(entries)
        if self.shadow is not None:
            self.shadow = {value: end for value, end in self.shadow.items() if end in self.seen.windows}
            self.shadow = self.shadow if len(self.shadow) <= MOST else None
        return dropped

    def write(self, pipe: Any, release: int) -> int:
        """Queue what Redis is to hold from now on, on top of what was read; returns the bytes of the seen filter."""
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
        """Put entries into their places by time, and keep the newest: whatever the order, the result is the same."""
        held = set(self.history)
        new = [entry for entry in dict.fromkeys(entries) if entry not in held]
        # Of equal times the one that came last is the newest.
        merged = sorted(new[::-1] + self.history, key=history.timestamp, reverse=True)
        self.history = merged[: history.KEPT]


def watched(release: int, user_id: str) -> list[str]:
    """Every key that :class:`State` reads or writes; all lie in one slot."""
    keys = Keys(release)
    return [keys.seen(user_id), keys.history(user_id), keys.categories(user_id), keys.shadow(user_id)]


def clear(pipe: Any, release: int, user_id: str) -> None:
    """Queue the removal of a user's state."""
    for key in watched(release, user_id):
        pipe.delete(key)


def _value(member: bytes) -> int:
    return int.from_bytes(member, "little", signed=True)
