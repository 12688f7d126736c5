"""A session answers as a user with the same events would."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.session import Sessions
from tests.support.fake_models import NumpyModels
from tests.support.forms.answers import ids
from tests.support.sidecar.process import start_sidecar
from tests.support.sidecar.user_events import send_events
from tests.support.tiny_release import ITEMS, new_item
from tests.support.until import until
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import InvalidRequest
from winnow.store import keys
from winnow.store.connection import connect
from winnow.store.events import Event
from winnow.store.shared_state import state_of
from winnow.store.stored_items import StoredItems

NOW = time.time_ns() // 1_000_000
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        yield connected


def drawn(seed: int, length: int, among: Sequence[int] = ()) -> list[dict[str, Any]]:
    """A session: items at random, some of them twice and some disliked, with a minute between its events.

    With ``among``, each of these items at most once.
    """
    draw = random.Random(seed)
    once = draw.sample(among, min(length, len(among)))
    length = len(once) or length
    return [
        {
            "item_id": f"item-{once[position] if once else draw.randrange(1, ITEMS + 1)}",
            "event": draw.choice(["view", "view", "view", "buy", "dislike"]),
            "timestamp": NOW - (length - position) * 60_000,
        }
        for position in range(length)
    ]


@pytest.mark.parametrize("with_history", [False, True])
def test_it_equals_a_user_whose_events_were_sent_and_applied(
    ask: Any, published: Release, models: NumpyModels, redis_url: str, client: Redis, tmp_path: Path, with_history: bool
) -> None:
    number, state = published.manifest.number, state_of(published)
    # Without a history, from the log, the number of events goes beyond what the models read and what is evidence.
    lengths = [1, 2, 3, 5, 8, 13, 40, 120, 150, 200] * 11
    users = [f"user-{n}" for n in range(20)] if with_history else [f"visitor-{number}-{n}" for n in range(110)]
    sessions = {user: n for n, user in enumerate(users)}
    before = {user: [client.get(state.seen(user)), client.get(state.categories(user))] for user in sessions}
    # Whoever has seen so many items of two categories only is not likely to want others.
    codes = published.array("item_rows")["categorical"][:, 0]
    narrow = np.flatnonzero((codes == 1) | (codes == 2)).tolist()

    def events(n: int) -> list[dict[str, Any]]:
        return drawn(n, lengths[n], narrow if lengths[n] == 150 else ())

    asked = [
        {"user_id": user, "items": events(n), "k": 30, "debug": True, "repeats": ("hide", "allow")[n % 2]}
        for user, n in sessions.items()
    ]
    from_sessions = ask(*asked)
    given = list(models.asked)
    models.asked.clear()

    trending = client.get(keys.Keys(number).trending)
    sidecar = start_sidecar(published, redis_url, tmp_path, Ports.free().sidecar)
    try:
        for user, n in sessions.items():
            send_events(redis_url, *({"user_id": user} | event for event in events(n)))
        until(lambda: _is_applied(client, keys.Keys(number).group.encode()), 60)
    finally:
        sidecar.terminate()
        assert sidecar.wait(timeout=20) == 0
    client.delete(*(keys.recent(user) for user in sessions))
    # The events of the users also count for what is trending.
    client.set(keys.Keys(number).trending, trending)
    assert all(before[user] != [client.get(state.seen(user)), client.get(state.categories(user))] for user in sessions)
    from_users = ask(*({name: value for name, value in one.items() if name != "items"} for one in asked))

    assert len(given) == len(models.asked)
    for (model, ours), (_, theirs) in zip(given, models.asked, strict=True):
        for name, tensor in theirs.items():
            assert ours[name].tobytes() == tensor.tobytes(), (model, name)
    for session, user in zip(from_sessions, from_users, strict=True):
        assert session["items"] == user["items"]
        assert session["degraded"] == user["degraded"] == []
        assert session["trace"]["removed"] == user["trace"]["removed"]
    # All filters of taste were at work.
    removed = {name for answer in from_users for name in answer["trace"]["removed"]}
    assert removed >= {"seen", "disliked"} | (set() if with_history else {"unlikely"})


def _is_applied(client: Redis, name: bytes) -> bool:
    """Whether the sidecars have read and acknowledged every event."""
    [group] = [one for one in client.xinfo_groups(keys.EVENTS) if one["name"] == name]
    [(newest, _)] = client.xrevrange(keys.EVENTS, count=1)
    return bool(group["last-delivered-id"] == newest and group["pending"] == 0)


def test_a_session_needs_no_user_and_hides_what_it_has_seen(ask: Any) -> None:
    session = drawn(1, 20)
    [anonymous, known] = ask(
        {"items": session, "k": 100}, {"user_id": "nobody-has-this-id", "items": session, "k": 100}
    )
    assert anonymous["user_id"] is None
    assert anonymous["items"] == known["items"]
    assert len(anonymous["items"]) == 100
    assert not {event["item_id"] for event in session} & set(ids(anonymous))
    [again] = ask({"items": session, "k": 100, "repeats": "allow"})
    liked = {event["item_id"] for event in session if event["event"] != "dislike"}
    assert liked & set(ids(again))


def test_a_visitor_without_events_gets_what_a_new_user_gets(ask: Any) -> None:
    empty, stranger = ask({"items": []}, {"user_id": "nobody-has-this-id"})
    assert empty["items"] == stranger["items"]
    assert len(empty["items"]) == 10


def test_the_default_event_is_a_plain_click_and_the_default_time_keeps_the_order(ask: Any, models: NumpyModels) -> None:
    bare = [{"item_id": "item-3"}, {"item_id": "item-4"}, {"item_id": "item-1"}]
    full = [one | {"event": "view", "timestamp": NOW} for one in bare]
    timed = [bare[0], bare[1] | {"timestamp": NOW - 5_000}, bare[2] | {"timestamp": NOW, "amount": 2.5}]
    ask({"items": bare}, {"items": full}, {"items": timed})
    histories = [inputs for model, inputs in models.asked if model == "retriever"]
    assert [one["history_items"][0, -3:].tolist() for one in histories] == [[3, 4, 1]] * 3
    assert [one["history_events"][0, -3:].tolist() for one in histories] == [[1, 1, 1]] * 3
    assert histories[0]["history_gaps"].tobytes() == histories[1]["history_gaps"].tobytes()
    # An event without a time has that of the one behind it.
    assert histories[2]["history_gaps"][0, -3:].tolist() == [0.0, 0.0, 5.0]


def test_items_that_are_gone_are_left_out_and_named_by_the_trace(ask: Any, published: Release) -> None:
    new = new_item(published, "new-1", 0)
    session = [{"item_id": "gone"}, {"item_id": "item-7"}, {"item_id": "new-1"}, {"item_id": "gone"}]
    with_gone, without = ask({"items": session, "debug": True}, {"items": session[1:3]}, new_items=[new])
    assert with_gone["items"] == without["items"]
    assert with_gone["trace"]["session"] == {"events": 2}
    assert with_gone["trace"]["unknown_items"] == ["gone"]
    assert "new-1" not in ids(with_gone)
    [only_gone] = ask({"items": session[:1]})
    assert len(only_gone["items"]) == 10


def test_an_undeclared_type_is_refused_by_name(ask: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask({"items": [{"item_id": "item-1"}, {"item_id": "item-2", "event": "stare"}]})
    assert str(refused.value) == "instances[0].items[1].event: must be one of view, buy, dislike, got 'stare'"


def test_without_redis_a_session_still_counts(ask: Any) -> None:
    session = drawn(2, 30)
    away, there = ask({"items": session, "k": 50}, url=NOWHERE), ask({"items": session, "k": 50})
    [away], [there] = away, there
    assert not {event["item_id"] for event in session} & set(ids(away))
    assert {source for item in away["items"] for source in item["sources"]} >= {"retriever"}
    assert any(part.startswith("trending") for part in away["degraded"])
    assert there["degraded"] == []
    # With a user whom Redis cannot tell, the session is all that is known.
    [merged] = ask({"user_id": "user-1", "items": session, "k": 50}, url=NOWHERE)
    assert ids(merged) == ids(away)
    assert any(part.startswith("user_state") for part in merged["degraded"])


def test_sessions_touch_the_categories_that_the_sidecar_reads(published: Release, redis_url: str) -> None:
    sessions = Sessions(published, Catalog(published))
    events = [Event("", f"item-{n}", 1, NOW, NOW) for n in range(1, 30)]
    with connect(redis_url) as client:
        stored = StoredItems(client, published).read([event.item_id for event in events])
    assert sessions._items(events) == stored
