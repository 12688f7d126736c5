"""Apply events to one user's history and filters in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from winnow.bloom.shadow import Errors, errors
from winnow.store.connection import Client
from winnow.store.events import Event
from winnow.store.keys import StateKeys
from winnow.store.stored_items import StoredItem
from winnow.store.user_activity import UserActivity, guarded


class Applied(NamedTuple):
    """The result for a user.

    Attributes:
        activity: the user's activity as it was written.
        size: size of the seen filter, in bytes.
        rotated: number of windows dropped from the seen filter.
        errors: errors of the filter before the update; ``None`` for a user without a shadow set.
    """

    activity: UserActivity
    size: int
    rotated: int
    errors: Errors | None


def apply(
    client: Client,
    state: StateKeys,
    user_id: str,
    events: Sequence[Event],
    items: Mapping[str, StoredItem],
    window_ms: int,
    probes: Sequence[int] = (),
) -> Applied:
    """Apply the ``events`` of one user to history, seen filter and category filter.

    Events from before the user was erased are dropped. Those from before a merge are applied to the other user.

    The user's keys are watched: if another sidecar writes them meanwhile, Redis aborts the transaction, which is then
    retried on the new values, so no event is lost. Applying an event twice changes nothing, so a batch can be applied
    again after its sidecar died before acknowledging it.

    Args:
        client: connection to Redis that returns bytes.
        state: the users' state.
        user_id: id of the user.
        events: events of this user, in stream order.
        items: item id -> stored item of the events' items.
        window_ms: window length of the seen filter, in milliseconds.
        probes: item hashes with which the filter of a sampled user is tested.

    Raises:
        RedisError: Redis does not answer.
        ValueError: a stored filter has an invalid format; nothing was changed.
    """
    while True:
        applied = _transaction(client, state, user_id, events, items, window_ms, probes)
        gone = applied.activity.gone
        moved = [event for event in events if gone is not None and event.at_ms <= gone.at_ms]
        if gone is None or gone.into is None or not moved:
            return applied
        user_id, events = gone.into, moved


def _transaction(
    client: Client,
    state: StateKeys,
    user_id: str,
    events: Sequence[Event],
    items: Mapping[str, StoredItem],
    window_ms: int,
    probes: Sequence[int],
) -> Applied:
    def update(pipe: Any) -> Applied:
        activity = UserActivity.read(pipe, state, user_id)
        found = errors(activity.seen, activity.shadow, probes) if activity.shadow else None
        rotated = activity.apply(events, items, window_ms)
        pipe.multi()
        return Applied(activity, activity.write(pipe, state), rotated, found)

    # redis-py types the callable as returning None, although it returns its value with value_from_callable.
    return cast("Applied", client.transaction(cast("Any", update), *guarded(state, user_id), value_from_callable=True))


def by_user(events: Iterable[tuple[bytes, Event]]) -> dict[str, list[tuple[bytes, Event]]]:
    """Group events, with their stream ids and in stream order, by user: each user takes one transaction."""
    grouped: dict[str, list[tuple[bytes, Event]]] = {}
    for stream_id, event in events:
        grouped.setdefault(event.user_id, []).append((stream_id, event))
    return grouped
