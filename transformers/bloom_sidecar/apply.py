"""Apply events to one user's history and seen filter, in one atomic step."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from winnow.filtering.hashing import item_hash
from winnow.filtering.seen import SeenFilter
from winnow.store import history
from winnow.store.keys import Keys


class Event(NamedTuple):
    """One event of the stream; ``code`` is 0 for a type that this release does not declare."""

    user_id: str
    item_id: str
    code: int
    timestamp: int


def apply(client: Redis, keys: Keys, user_id: str, events: Sequence[Event]) -> None:
    """Put ``events`` of one user into the history and the seen filter.

    The keys are watched: when another sidecar writes them in between, Redis refuses the transaction and it is done
    again on what that one wrote, so no item is lost. An event that is in the history already is not put there twice,
    so a batch that was applied but not acknowledged (its sidecar died in between) does no harm.

    Raises:
        RedisError: Redis does not answer.
    """
    seen_key, history_key = keys.seen(user_id), keys.history(user_id)
    # An event of an undeclared type still says that the user met the item, but the models have no code for it.
    entries = [history.encode(event.timestamp, event.code, event.item_id) for event in events if event.code]

    def update(pipe: Any) -> None:
        stored = pipe.get(seen_key)
        held = set(pipe.lrange(history_key, 0, history.KEPT - 1))
        seen = SeenFilter() if stored is None else SeenFilter.from_bytes(stored)
        seen.update(item_hash(event.item_id) for event in events)
        new = [entry for entry in entries if entry not in held]
        pipe.multi()
        if new:
            pipe.lpush(history_key, *new)
            pipe.ltrim(history_key, 0, history.KEPT - 1)
        pipe.set(seen_key, seen.to_bytes())

    client.transaction(update, seen_key, history_key)


def by_user(events: Iterable[tuple[bytes, Event]]) -> dict[str, list[tuple[bytes, Event]]]:
    """Events with their stream ids, grouped by user, in stream order: a user's events cost one transaction."""
    grouped: dict[str, list[tuple[bytes, Event]]] = {}
    for stream_id, event in events:
        grouped.setdefault(event.user_id, []).append((stream_id, event))
    return grouped
