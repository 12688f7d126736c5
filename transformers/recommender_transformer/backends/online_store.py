"""Reads a release's keys in Redis: a user in one round trip, item rows in at most one more."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import RedisCluster as AsyncRedisCluster

from recommender_transformer.backends.catalog import Catalog, LiveItem
from recommender_transformer.backends.followed.live_rules import RulesInForce
from recommender_transformer.backends.followed.offline_lists import OfflineLists
from recommender_transformer.backends.joined_calls import JoinedCalls
from recommender_transformer.backends.row_cache import RowCache
from recommender_transformer.backends.stored_user import StoredUser
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.seen import SeenFilter
from winnow.catalog.change import position
from winnow.release import Release
from winnow.retrieval.item_values import item_values
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store import history, keys, recent_events
from winnow.store.business import shown
from winnow.store.business.shown import Shown
from winnow.store.connection import connect_async
from winnow.store.events import event_codes
from winnow.store.history import History
from winnow.store.keys import Keys
from winnow.store.shared_state import state_of

HELD_BYTES = 32 * 2**20
"""Bound on the row cache, its index included: some 300,000 rows of a typical schema. The release's own arrays are not
part of it."""

_JOINED = 32
"""Users read in one round trip: some 100 kB."""

_READ_TIMEOUT_S = 5.0
"""Time-out of reading users. The funnel's deadlines are shorter, but cancel nothing while others wait for the read."""

F = TypeVar("F")


class Lookup(NamedTuple):
    """Where the rows of one batch of items came from.

    Attributes:
        held: rows from the cache.
        fetched: rows from Redis.
        unknown: items without a row in Redis.
        oldest_s: age of the oldest row from the cache, in seconds; 0 if there was none.
    """

    held: int
    fetched: int
    unknown: int
    oldest_s: float


@dataclass(frozen=True)
class UserState:
    """The state of a user, as read at one moment.

    Attributes:
        row: structured scalar of the schema's ``user_dtype``; zeros for a user without one.
        events: the newest events with items of the catalog, oldest first.
        values: float64, for each of ``events`` the summed value of those with the same item.
        history: those of ``events`` that the models read: they have no embedding of a new item.
        seen: Bloom filter of the items that the user has seen; `None` for a user without events.
        categories: Bloom filter of the categories of those items; `None` for a user without events.
        recent: distinct ids of the items of recent events, which ``seen`` and ``categories`` may not contain yet.
        unreadable: names of the funnel's filters whose Bloom filter exists but is malformed; it is `None` then.
        shown: the items that the user was shown; `None` for none, and while no rule of fatigue is in force.
    """

    row: np.void
    events: History
    values: NDArray[np.float64]
    history: History
    seen: SeenFilter | None
    categories: CategoryFilter | None
    recent: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    shown: Shown | None = None

    @property
    def as_served(self) -> "UserState":
        """The part that an impression is written from, in place of the whole: row and history."""
        return UserState(self.row, history.EMPTY, np.empty(0), self.history, None, None)


class OnlineStore:
    """Client of one release's keys in Redis and of its users' state, with a cache of item rows.

    Args:
        release: the release.
        url: URL of Redis.
        row_ttl_s: seconds for which a row is served from the cache: the longest time for which an item that became
            unavailable may still be shown.
        observe: called with each batch of rows that is returned.

    Attributes:
        catalog: the release's items, with the changes and the new items that this process has received.
        lists: the offline lists of users.
        rules: the business rules in force.
    """

    def __init__(
        self,
        release: Release,
        url: str,
        row_ttl_s: float = 5.0,
        observe: Callable[[Lookup], None] = lambda _: None,
    ) -> None:
        self.client = connect_async(url)
        # On a cluster one client: each would have to discover the nodes before its first request.
        clustered = isinstance(self.client, AsyncRedisCluster)
        self._reader = self.client if clustered else connect_async(url, answer_s=None)
        self._users: JoinedCalls[str, Any] = JoinedCalls(self._read_users, _JOINED)
        self.keys = Keys(release.manifest.number)
        self.state = state_of(release)
        self.catalog = Catalog(release)
        self.lists = OfflineLists(self.client, self.keys, self.catalog.size)
        self.rules = RulesInForce(release, self.catalog.columns, self.client)
        self._observe = observe
        self._item_dtype = release.schema.item_dtype
        self._user_dtype = release.schema.user_dtype
        self._empty_row: np.void = np.zeros(1, dtype=self._user_dtype)[0]
        self._codes = event_codes(release.schema.events)
        self._event_values = release.schema.value_by_code
        self._history_length = release.manifest.history_length
        self._renew_s = row_ttl_s / 2
        self._cache = RowCache(self.catalog.size + NEW_ITEM_CAPACITY, self._item_dtype, HELD_BYTES, row_ttl_s)

    @property
    def cold_start_state(self) -> UserState:
        """The state of a user without any data."""
        return UserState(self._empty_row, history.EMPTY, np.empty(0), history.EMPTY, None, None)

    async def user_state(self, user_id: str) -> UserState:
        """Read and decode a user; see :meth:`read_user` and :meth:`decode_user`."""
        return self.decode_user(await self.read_user(user_id))

    async def read_user(self, user_id: str) -> StoredUser:
        """Read a user's row, history, Bloom filters and recent events, in one round trip.

        While a rule of fatigue is in force, also the items that the user was shown.

        Concurrent reads share round trips (:mod:`.joined_calls`).

        Raises:
            RedisError: Redis does not answer.
        """
        (row, seen, categories), entries, members, *was_shown = await self._users(user_id)
        return StoredUser(row, seen, categories, entries, members, *was_shown)

    def decode_user(self, stored: StoredUser) -> UserState:
        """The state of a user.

        Raises:
            ValueError: a value does not match the release.
        """
        row, seen, categories, entries, members, was_shown = stored
        happened = recent_events.decode(members)
        entries = recent_events.merge_into_history(entries, happened, self._codes, self._history_length)
        unreadable: list[str] = []
        seen_filter = _filter("seen", SeenFilter.from_bytes, seen, unreadable)
        category_filter = _filter("unlikely", CategoryFilter.from_bytes, categories, unreadable)
        events = history.decode(entries, self.catalog.find)
        of_release = np.flatnonzero(events.items <= self.catalog.size)
        return UserState(
            row=self._empty_row if row is None else np.frombuffer(row, dtype=self._user_dtype)[0],
            events=events,
            values=item_values(events.items, events.events, self._event_values),
            history=History(events.items[of_release], events.events[of_release], events.timestamps[of_release]),
            seen=seen_filter,
            categories=category_filter,
            recent=tuple(dict.fromkeys(event.item_id for event in happened)),
            unreadable=tuple(unreadable),
            shown=shown.decode(was_shown) if was_shown else None,
        )

    def cached_rows(self, items: NDArray[np.int32]) -> NDArray[np.void] | None:
        """Rows of items, structured [n], if the cache has one within its time to live of each; otherwise `None`."""
        rows, _, fresh, age = self._cache.get(items)
        if not fresh.all():
            return None
        self._observe(Lookup(len(items), 0, 0, float(age.max(initial=0.0))))
        return rows

    async def item_rows(self, items: NDArray[np.int32]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Rows of distinct items, from the cache; all missing rows are read from Redis in one call.

        That call also renews the rows that have passed half of their time to live.

        Returns:
            structured [n], the rows, and bool [n], whether Redis has a row of the item. The row of an item without one
            is undefined, but never another item's.

        Raises:
            RedisError: Redis does not answer.
        """
        rows, _, has_row, age = self._cache.get(items)
        if not has_row.all():
            # In the same call, so that popular rows are not missing one after the other, in nearly every request.
            has_row &= age < self._renew_s
        missing = np.flatnonzero(~has_row)
        oldest_s = float(age.max(initial=0.0, where=has_row))
        fetched: NDArray[np.void] = rows[:0]
        if len(missing):
            missing_items = items[missing]
            values = await self._values([self.keys.item(item_id) for item_id in self.catalog.item_ids(missing_items)])
            valid = [v if isinstance(v, bytes) and len(v) == self._item_dtype.itemsize else b"" for v in values]
            found = np.array([bool(value) for value in valid], dtype=np.bool_)
            fetched = np.frombuffer(b"".join(valid), dtype=self._item_dtype)
            if self.catalog.changes:
                found, fetched = self._with_live_rows(missing_items, found, fetched)
            # A row with another item's index counts as missing.
            matches = fetched["index"] == missing_items[found]
            found[found] = matches
            fetched = fetched[matches]
            rows[missing[found]] = fetched
            has_row[missing[found]] = True
            self._cache.put(missing_items[found], fetched)
        held = len(items) - len(missing)
        self._observe(Lookup(held, len(fetched), len(missing) - len(fetched), oldest_s))
        return rows, has_row

    def held_rows(self, items: NDArray[np.int32]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Cached rows, however old, and whether the cache has them; for when Redis is not available."""
        rows, held, _, age = self._cache.get(items)
        self._observe(Lookup(int(held.sum()), 0, 0, float(age.max(initial=0.0, where=held))))
        return rows, held

    def row_ages(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Seconds since the row of each item was read from Redis; NaN if it is not cached."""
        _, held, _, age = self._cache.get(items)
        return np.where(held, age, np.nan).astype(np.float32)

    @property
    def held_bytes(self) -> int:
        """Bytes of the cached item rows; at most :data:`HELD_BYTES`."""
        return self._cache.held_bytes

    def learn(self, items: Sequence[LiveItem]) -> None:
        """Add, change or delete items: requests from now on see them so."""
        # The stream may bring an earlier change of an item after this process has applied its own, later one.
        items = [item for item in items if position(item.version) >= position(self.catalog.version(item.item_id))]
        if items:
            indices = np.unique(self.catalog.put(items))
            self._cache.put(indices, self.catalog.rows.take(indices))

    async def trending(self) -> NDArray[np.int32]:
        """int32 item indices of the trending list, best first; empty if Redis has none for the release.

        Raises:
            RedisError: Redis does not answer.
        """
        packed = await self.client.get(self.keys.trending)
        return np.frombuffer(packed if isinstance(packed, bytes) else b"", dtype="<i4").astype(np.int32)

    async def objectives(self) -> dict[bytes, bytes]:
        """The entries of the live weights (:mod:`winnow.store.objectives`).

        Raises:
            RedisError: Redis does not answer.
        """
        entries: Any = await self.client.hgetall(self.keys.objectives)
        return dict(entries)

    async def close(self) -> None:
        """Close the connections."""
        await self._users.close()
        await self.client.aclose()
        await self._reader.aclose()

    def _with_live_rows(
        self, items: NDArray[np.int32], found: NDArray[np.bool_], fetched: NDArray[np.void]
    ) -> tuple[NDArray[np.bool_], NDArray[np.void]]:
        """What was read from Redis, with the rows that this process has of live items in place of those.

        A reply that was on its way while a change arrived would otherwise be cached for the whole time to live.
        """
        is_live = (items > self.catalog.size) | self.catalog.changed.contains(items)
        live = np.flatnonzero(is_live)
        if not len(live):
            return found, fetched
        rows = np.zeros(len(items), self._item_dtype)
        rows[found] = fetched
        # An index that this process has no item for yet has no row here either: its index is 0.
        rows[live] = self.catalog.rows.take(items[live])
        found = found | is_live
        return found, rows[found]

    async def _read_users(self, user_ids: Sequence[str]) -> list[Any]:
        """The replies for each user: row and filters, history, recent events, and what fatigue needs."""
        tires = self.rules.now.compiled.rules.fatigue is not None
        pipe = self._reader.pipeline(transaction=False)
        for user_id in user_ids:
            # Not mget(): redis-py's cluster pipelines refuse it, even for keys of one slot.
            pipe.execute_command(
                "MGET", self.keys.user_row(user_id), self.state.seen(user_id), self.state.categories(user_id)
            )
            pipe.lrange(self.state.history(user_id), 0, self._history_length - 1)
            pipe.zrange(keys.recent(user_id), 0, -1)
            if tires:
                pipe.zrange(keys.shown(user_id), 0, -1, withscores=True)
        async with asyncio.timeout(_READ_TIMEOUT_S):
            replies = await pipe.execute()
        each = 4 if tires else 3
        return list(zip(*(replies[place::each] for place in range(each)), strict=True))

    async def _values(self, keys: list[str]) -> list[Any]:
        """The value of each key, in one round trip (on a cluster, one per node, concurrently)."""
        if isinstance(self.client, AsyncRedisCluster):
            return await self.client.mget_nonatomic(keys)
        return await self.client.mget(keys)


def _filter(name: str, read: Callable[[bytes], F], packed: bytes | None, unreadable: list[str]) -> F | None:
    """Decode a filter; if it is malformed, append its name to ``unreadable`` and go on without it."""
    try:
        return None if packed is None else read(packed)
    except ValueError:
        unreadable.append(name)
        return None
