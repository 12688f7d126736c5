"""Apply events to one user's history and filters, in one atomic step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from winnow.bloom.shadow import Errors, errors
from winnow.store.connection import Client
from winnow.store.events import Event
from winnow.store.item_rows import Item
from winnow.store.user_state import State, watched


class Applied(NamedTuple):
    """What became of a user.

    Attributes:
        state: as it was written.
        size: bytes of its seen filter.
        rotated: how many windows of the seen filter were dropped.
        errors: how the filter as it was before compares with its shadow; none for a user who has none.
    """

    state: State
    size: int
    rotated: int
    errors: Errors | None


def apply(
    client: Client,
    release: int,
    user_id: str,
    events: Sequence[Event],
    items: Mapping[str, Item],
    window_ms: int,
    probes: Sequence[int] = (),
) -> Applied:
    """Put ``events`` of one user into history, seen filter and category filter.

    The keys are watched: when another sidecar writes them in between, Redis refuses the transaction and it is done
    again on what that one wrote, so no item is lost. An event that is in the history already is not put there twice,
    so a batch that was applied but not acknowledged (its sidecar died in between) does no harm.

    Args:
        client: connection to Redis, answering bytes.
        release: number of the release.
        user_id: whose events.
        events: in the order of the stream.
        items: what is known of their items.
        window_ms: length of the seen filter's windows.
        probes: hashes of items to ask the filter of a sampled user for.

    Raises:
        RedisError: Redis does not answer.
        ValueError: a stored filter cannot be read; nothing was changed.
    """

    def update(pipe: Any) -> Applied:
        state = State.read(pipe, release, user_id)
        found = errors(state.seen, state.shadow, probes) if state.shadow else None
        rotated = state.apply(events, items, window_ms)
        pipe.multi()
        return Applied(state, state.write(pipe, release), rotated, found)

    # The client's types know of callables that return nothing, though what they return can be had.
    return cast(
        "Applied", client.transaction(cast("Any", update), *watched(release, user_id), value_from_callable=True)
    )


def by_user(events: Iterable[tuple[bytes, Event]]) -> dict[str, list[tuple[bytes, Event]]]:
    """Events with their stream ids, grouped by user, in stream order: a user's events cost one transaction."""
    grouped: dict[str, list[tuple[bytes, Event]]] = {}
    for stream_id, event in events:
        grouped.setdefault(event.user_id, []).append((stream_id, event))
    return grouped
