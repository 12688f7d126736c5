"""Users read their own writes: an acknowledged event counts in every answer that starts afterwards."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from recommender_transformer.backends.online_store import OnlineStore, UserState
from recommender_transformer.funnel.filters.seen import Seen
from recommender_transformer.funnel.query import User
from tests.support.redis_fixtures import server_and_cluster
from tests.support.sidecar.process import start_sidecar
from tests.support.sidecar.user_events import LATER, event, send_events
from tests.support.tiny_release import new_item, write_release
from tests.support.until import until
from winnow.ports import Ports
from winnow.release import Release
from winnow.store import keys, recent_events
from winnow.store.connection import connect
from winnow.store.events import Event
from winnow.store.keys import EVENTS
from winnow.store.recent_events import KEPT, REMEMBERED_S, RecentEvent
from winnow.store.shared_state import state_of
from winnow.store.user_activity import UserActivity

redis_url = server_and_cluster

LENGTH = 12
"""Events that the tiny release's models read."""

CODES = {"view": 1, "buy": 2}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        yield connected


def read_state(release: Release, url: str, user_id: str) -> UserState:
    async def read() -> UserState:
        store = OnlineStore(release, url)
        try:
            return await store.user_state(user_id)
        finally:
            await store.close()

    return asyncio.run(read())


def shown(server: Any, user_id: str, k: int = 10) -> list[str]:
    status, body = server.v1({"user_id": user_id, "k": k})
    [answer] = body["predictions"]
    assert (status, answer["degraded"]) == (200, [])
    return [item["item_id"] for item in answer["items"]]


def shown_again(first: Any, second: Any, user_id: str, trials: int) -> list[str]:
    """Send an event of the first item to one transformer, then ask both; returns items that are shown again."""
    stale = []
    for trial in range(trials):
        here, there = (first, second) if trial % 2 else (second, first)
        item_id = shown(here, user_id)[0]
        status, _ = here.v1({"user_id": user_id, "item_id": item_id, "event": "view"}, model="events")
        assert status == 200
        stale += [item_id for server in (there, here) if item_id in shown(server, user_id, 100)]
    return stale


@pytest.mark.slow
def test_two_transformers_read_an_event_at_once_with_and_without_a_sidecar(
    serve_published: Callable[..., Any], published: Release, redis_url: str, client: Redis, tmp_path: Path
) -> None:
    # A sidecar reads the stream from its beginning, including other tests' events of the same users.
    user = f"reader-{published.manifest.number}"
    with serve_published() as first, serve_published() as second:
        # Without a sidecar so far.
        assert shown_again(first, second, user, 10) == []
        sidecar = start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar)
        assert shown_again(first, second, user, 20) == []
        sidecar.kill()
        sidecar.wait()
        assert shown_again(first, second, user, 10) == []
        alone = read_state(published, redis_url, user)
        again = start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar)
        try:
            until(lambda: client.llen(state_of(published).history(user)) == 40)
            assert shown_again(first, second, user, 10) == []
            until(lambda: client.llen(state_of(published).history(user)) == 50)
        finally:
            again.terminate()
            assert again.wait(timeout=20) == 0
    # The state that the sidecar wrote equals the one that was read from the recent list.
    both = read_state(published, redis_url, user)
    client.delete(keys.recent(user))
    applied = read_state(published, redis_url, user)
    assert both.recent
    assert applied.recent == ()
    assert [column.tolist() for column in both.history] == [column.tolist() for column in applied.history]
    assert alone.history.items.tolist()[-2:] == applied.history.items.tolist()[-12:-10]


def test_the_models_get_the_event_and_the_trace_names_the_filter(
    published: Release, redis_url: str, recommend: Any, models: Any, client: Redis
) -> None:
    before = recommend("user-5", k=100)
    bought = before["items"][0]["item_id"]
    send_events(redis_url, event("user-5", bought, "buy"))
    answer = recommend("user-5", k=100, debug=True)
    assert answer["degraded"] == []
    given = [inputs for name, inputs in models.asked if name == "retriever"][-1]
    assert given["history_items"][0, -1] == int(bought.removeprefix("item-"))
    assert given["history_events"][0, -1] == CODES["buy"]
    assert bought not in {item["item_id"] for item in answer["items"]}
    removed = [c for c in answer["trace"]["candidates"] if c["item_id"] == bought and "removed_by" in c]
    assert [c["reason"] for c in removed] in ([], ["in the user's recent history"])
    # The event is in the recent list only.
    assert f"{LATER}|2|{bought}".encode() not in client.lrange(state_of(published).history("user-5"), 0, -1)


def test_every_release_reads_an_event_by_its_own_codes(published: Release, redis_url: str, tmp_path: Path) -> None:
    other = write_release(tmp_path / "other", published.manifest.number + 500)
    send_events(redis_url, event("between", 4, "buy"), event("between", 5, "of-another-release"))
    for release in (published, other):
        state = read_state(release, redis_url, "between")
        assert (state.history.items.tolist(), state.history.events.tolist()) == ([4], [2])
        assert state.recent == ("item-5", "item-4")


def test_undeclared_events_and_unknown_items_are_seen_but_not_in_the_history(
    published: Release, redis_url: str, recommend: Any
) -> None:
    popular = [item["item_id"] for item in recommend("newcomer", k=50)["items"]]
    send_events(redis_url, event("newcomer", popular[0], "share"), event("newcomer", "gone", "view"))
    assert popular[0] not in {item["item_id"] for item in recommend("newcomer", k=100)["items"]}
    assert len(read_state(published, redis_url, "newcomer").history.items) == 0


def test_a_seen_new_item_is_filtered(published: Release, redis_url: str) -> None:
    async def kept() -> list[bool]:
        store = OnlineStore(published, redis_url)
        try:
            state = await store.user_state("pioneer")
            # This process learns of the item after it read the user.
            [index] = store.catalog.put([new_item(published, "new-7", slot=7)])
            query = type("Query", (), {"user": User(state), "repeats": "hide"})()
            offered = type("Offered", (), {"items": store.catalog.indices(["item-1", "new-7"])})()
            assert offered.items.tolist() == [1, index]
            kept = Seen(store.catalog).keep(query, offered)
            assert kept is not None
            return kept.tolist()
        finally:
            await store.close()

    send_events(redis_url, event("pioneer", "new-7"))
    assert asyncio.run(kept()) == [True, False]


def test_an_event_that_is_not_in_the_recent_list_is_not_acknowledged_and_a_retry_repairs_it(
    redis_url: str, client: Redis
) -> None:
    client.set(keys.recent("unlucky"), "what does not belong there")
    given = event("unlucky", 3, event_id="unlucky-1")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        send_events(redis_url, given)
    client.delete(keys.recent("unlucky"))
    length = client.xlen(EVENTS)
    # The retry has another timestamp: the first one counts.
    [appended] = send_events(redis_url, given | {"timestamp": LATER + 5})
    assert appended.duplicate
    assert client.xlen(EVENTS) == length
    assert recent_events.decode(client.zrange(keys.recent("unlucky"), 0, -1)) == [RecentEvent("view", "item-3", LATER)]
    [again] = send_events(redis_url, given)
    assert again == appended
    assert client.zcard(keys.recent("unlucky")) == 1


def test_an_unacknowledged_event_is_503(serve_published: Callable[..., Any], client: Redis) -> None:
    given = event("refused", 3, event_id="refused-1", timestamp=1_700_000_000_000)
    client.set(keys.recent("refused"), "what does not belong there")
    with serve_published() as server:
        status, answer = server.v1(given, model="events")
        assert status == 503
        assert "sending them again is safe where they have an event_id" in answer["error"]
        client.delete(keys.recent("refused"))
        status, answer = server.v1(given, model="events")
        assert (status, answer["predictions"][0]["duplicate"]) == (200, True)


def test_the_recent_list_is_bounded_in_length_and_time(redis_url: str, client: Redis) -> None:
    key = keys.recent("busy")
    for start in range(0, KEPT + 50, 50):
        send_events(redis_url, *(event("busy", n + 1, timestamp=LATER + n) for n in range(start, start + 50)))
    kept = recent_events.decode(client.zrange(key, 0, -1))
    # The newest events, in the order of arrival, also within one millisecond.
    assert [one.item_id for one in kept] == [f"item-{n}" for n in range(KEPT + 50, 50, -1)]
    assert REMEMBERED_S - 60 <= client.ttl(key) <= REMEMBERED_S


def entries(events: Sequence[Event]) -> list[bytes]:
    state = UserActivity.new("user-1")
    state.apply(events, {}, 90 * 86_400_000)
    return state.history


@pytest.mark.parametrize("seed", range(40))
def test_the_history_is_the_same_for_every_order_of_applied_events(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.choice([1, 5, 30, 150, 300])
    same_time = seed % 3 == 0
    times = [LATER + (0 if same_time else n * 10 - draw.randrange(200)) for n in range(count)]
    times = times if same_time else [time * 1000 + n for n, time in enumerate(times)]
    # Two equal events with one timestamp are one event.
    items = [n if same_time else draw.randrange(400) for n in range(count)]
    events = [Event("u", f"item-{n}", draw.choice([1, 2]), time, 0) for n, time in zip(items, times, strict=True)]
    names = {code: kind for kind, code in CODES.items()}
    newest_first = [RecentEvent(names[e.code], e.item_id, e.timestamp) for e in reversed(events)][:KEPT]
    # Events that left the list have all been applied; of the others, some, in any order.
    applied = events[: max(0, count - KEPT)]
    later = events[len(applied) :]
    applied += later[: draw.randrange(len(later) + 1)] if same_time else draw.sample(later, draw.randrange(len(later)))
    for length in (LENGTH, KEPT):
        held = entries(applied)[:length]
        assert list(recent_events.merge_into_history(held, newest_first, CODES, length)) == entries(events)[:length]
