"""What the online funnel reads from Redis: a user in one round trip, item rows in at most one more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import RedisCluster as AsyncRedisCluster

from recommender_transformer.backends.catalog import Catalog, FreshItem
from recommender_transformer.backends.row_cache import RowCache
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.seen import SeenFilter
from winnow.release import Release
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store import history, keys, recent_events
from winnow.store.connection import connect_async
from winnow.store.events import event_codes
from winnow.store.history import History
from winnow.store.keys import Keys

HELD_BYTES = 32 * 2**20
"""Of item rows held in the process, with what is beside them: some 300,000 rows of a typical schema. The release's own
arrays come on top of this."""

F = TypeVar("F")


class Lookup(NamedTuple):
    """Where the rows of one batch of items came from.

    Attributes:
        held: rows that lay in the process.
        fetched: rows that came from Redis.
        unknown: items that Redis has no row of.
        oldest_s: age of the oldest of the rows that lay in the process, in seconds; 0 where none did.
    """

    held: int
    fetched: int
    unknown: int
    oldest_s: float


@dataclass(frozen=True)
class UserState:
    """What is known of a user at one moment.

    Attributes:
        row: structured scalar of the schema's ``user_dtype``; zeros for a user without one.
        history: the newest events, oldest first.
        seen: every item the user has met; none for a user without events.
        categories: every category the user has touched; none for a user without events.
        recent: ids of the items met a moment ago, each once; ``seen`` and ``categories`` may not know of them yet.
        unreadable: the filters (by the names of the funnel's) that are there and cannot be read; they are none then.
    """

    row: np.void
    history: History
    seen: SeenFilter | None
    categories: CategoryFilter | None
    recent: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class OnlineStore:
    """The online side of one release's namespace.

    Args:
        release: whose namespace it is.
        url: where Redis is.
        row_ttl_s: how long an item row may be served from the process's own cache, in seconds: the longest time an
            item that became unavailable may still be shown.
        observe: is told of every batch of rows that is given out.

    Attributes:
        catalog: the release's items, and the fresh ones that this process has learnt of.
    """

    def __init__(
        self,
        release: Release,
        url: str,
        row_ttl_s: float = 5.0,
        observe: Callable[[Lookup], None] = lambda _: None,
    ) -> None:
        self.client = connect_async(url)
        self.keys = Keys(release.manifest.number)
        self.catalog = Catalog(release)
        self._observe = observe
        self._item_dtype = release.schema.item_dtype
        self._user_dtype = release.schema.user_dtype
        # The models know the release's items only, so these are the ones that a history is made of.
        self._item_index = {item_id.encode(): index for item_id, index in self.catalog.item_index.items()}
        self._nobody: np.void = np.zeros(1, dtype=self._user_dtype)[0]
        self._codes = event_codes(release.schema.events)
        self._history_length = release.manifest.history_length
        self._cache = RowCache(self.catalog.size + NEW_ITEM_CAPACITY, self._item_dtype, HELD_BYTES, row_ttl_s)

    @property
    def stranger(self) -> UserState:
        """The state of a user of whom nothing is known."""
        return UserState(self._nobody, history.EMPTY, None, None)

    async def user_state(self, user_id: str) -> UserState:
        """Read a user: row, history, both filters and what happened a moment ago, in one round trip.

        Raises:
            RedisError: Redis does not answer.
            ValueError: what it holds is not what a release writes.
        """
        pipe = self.client.pipeline(transaction=False)
        # Spelled out, because redis-py's pipelines on a cluster refuse mget() whatever the keys.
        pipe.execute_command(
            "MGET", self.keys.user_row(user_id), self.keys.seen(user_id), self.keys.categories(user_id)
        )
        pipe.lrange(self.keys.history(user_id), 0, self._history_length - 1)
        pipe.zrange(keys.recent(user_id), 0, -1)
        (row, seen, categories), entries, members = await pipe.execute()
        happened = recent_events.decode(members)
        entries = recent_events.merge_into_history(entries, happened, self._codes, self._history_length)
        unreadable: list[str] = []
        met = _filter("seen", SeenFilter.from_bytes, seen, unreadable)
        touched = _filter("unlikely", CategoryFilter.from_bytes, categories, unreadable)
        return UserState(
            row=self._nobody if row is None else np.frombuffer(row, dtype=self._user_dtype)[0],
            history=history.decode(entries, self._item_index),
            seen=met,
            categories=touched,
            recent=tuple(dict.fromkeys(event.item_id for event in happened)),
            unreadable=tuple(unreadable),
        )

    async def item_rows(self, items: NDArray[np.int32]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Rows of distinct items, from the cache or, together, from Redis.

        Returns:
            rows structured [n], and whether the item is known; an unknown item's row is never another item's.

        Raises:
            RedisError: Redis does not answer.
        """
        rows, _, known, age = self._cache.get(items)
        missing = np.flatnonzero(~known)
        oldest_s = float(age.max(initial=0.0, where=known))
        fetched: NDArray[np.void] = rows[:0]
        if len(missing):
            wanted = items[missing]
            values = await self._values([self.keys.item(self.catalog.item_ids[index]) for index in wanted.tolist()])
            whole = [v if isinstance(v, bytes) and len(v) == self._item_dtype.itemsize else b"" for v in values]
            found = np.array([bool(value) for value in whole], dtype=np.bool_)
            fetched = np.frombuffer(b"".join(whole), dtype=self._item_dtype)
            # A row that says it is another item's is as good as none.
            own = fetched["index"] == wanted[found]
            found[found] = own
            fetched = fetched[own]
            rows[missing[found]] = fetched
            known[missing[found]] = True
            self._cache.put(wanted[found], fetched)
        held = len(items) - len(missing)
        self._observe(Lookup(held, len(fetched), len(missing) - len(fetched), oldest_s))
        return rows, known

    def held_rows(self, items: NDArray[np.int32]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Rows that the process still holds, however old: what is left when Redis is gone."""
        rows, held, _, age = self._cache.get(items)
        self._observe(Lookup(int(held.sum()), 0, 0, float(age.max(initial=0.0, where=held))))
        return rows, held

    def row_ages(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Seconds since the row of each item was read from Redis; not a number where the process holds none."""
        _, held, _, age = self._cache.get(items)
        return np.where(held, age, np.nan).astype(np.float32)

    @property
    def held_bytes(self) -> int:
        """Bytes of the item rows that the process holds; at most :data:`HELD_BYTES`."""
        return self._cache.held_bytes

    def learn(self, item: FreshItem) -> None:
        """Take up an item that is newer than the release: whoever asks from now on is told of it."""
        index = self.catalog.put(item)
        self._cache.put(np.array([index], np.int32), np.array([item.row], self._item_dtype))

    async def trending(self) -> NDArray[np.int32]:
        """Item indices that are popular now, best first; empty where the release has none in Redis.

        Raises:
            RedisError: Redis does not answer.
        """
        packed = await self.client.get(self.keys.trending)
        return np.frombuffer(packed if isinstance(packed, bytes) else b"", dtype="<i4").astype(np.int32)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def _values(self, keys: list[str]) -> list[Any]:
        """What is stored under each key, in one round trip (on a cluster, one to each node, all at once)."""
        if isinstance(self.client, AsyncRedisCluster):
            return await self.client.mget_nonatomic(keys)
        return await self.client.mget(keys)


def _filter(name: str, read: Callable[[bytes], F], packed: bytes | None, unreadable: list[str]) -> F | None:
    """A filter from its bytes; one that is broken is named, and must not cost the user the rest."""
    try:
        return None if packed is None else read(packed)
    except ValueError:
        unreadable.append(name)
        return None
