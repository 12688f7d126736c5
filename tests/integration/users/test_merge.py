"""After a merge the state is that of a user who had all events of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bloom_sidecar.consumer import Consumer
from tests.support.users.traces import in_redis
from winnow.bloom.hashing import item_hash
from winnow.feedback.rebuild import rebuild
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import publish, remove
from winnow.store.shared_state import state_of
from winnow.store.user_activity import UserActivity
from winnow.users.attributes import Attributes
from winnow.users.changes import NotMerged
from winnow.users.merge import merge

FORMER, OTHER, BOTH = "visitor", "member", "twin"
OF_FORMER = [(n, f"item-{n}") for n in range(1, 60, 2)]
OF_OTHER = [(n, f"item-{n % 40 + 1}") for n in range(2, 60, 2)]


def append(client: Client, user_id: str, events: list[tuple[int, str]]) -> None:
    for moment, item_id in events:
        fields = {"user_id": user_id, "item_id": item_id, "event": "view", "timestamp": 10**12 + moment}
        client.xadd(EVENTS, fields)


def apply(client: Client, release: Release) -> None:
    consumer = Consumer(client, release, "test")
    consumer.group.join()
    while consumer.step():
        pass


def activity(client: Client, release: Release, user_id: str) -> UserActivity:
    [found] = UserActivity.read_all(client, state_of(release), [user_id])
    assert found is not None
    return found


def merged(client: Client, release: Release, user_id: str = FORMER, into: str = OTHER) -> None:
    merge(client, release, Attributes(client, release), user_id, into)


def test_the_state_is_that_of_all_events(published: Release, client: Client) -> None:
    append(client, FORMER, OF_FORMER)
    append(client, OTHER, OF_OTHER)
    append(client, BOTH, sorted(OF_FORMER + OF_OTHER))
    apply(client, published)
    merged(client, published)
    found, expected = activity(client, published, OTHER), activity(client, published, BOTH)
    assert found.history == expected.history
    assert {e: len(w) for e, w in found.seen.windows.items()} == {e: len(w) for e, w in expected.seen.windows.items()}
    assert all(item_hash(item_id) in found.seen for _, item_id in OF_FORMER + OF_OTHER)
    assert found.seen.to_bytes() == expected.seen.to_bytes()
    assert found.categories.to_bytes() == expected.categories.to_bytes()
    keys = [key for key in client.scan_iter() if FORMER.encode() in key]
    assert keys == []
    # Again, as after an interruption: nothing changes.
    before = client.get(state_of(published).seen(OTHER))
    merged(client, published)
    assert client.get(state_of(published).seen(OTHER)) == before


def test_filters_whose_items_are_not_known_are_united(published: Release, client: Client) -> None:
    """Of more events than a history has, only the filter knows the items."""
    many = [(n, f"item-{n}") for n in range(1, 290)]
    append(client, FORMER, many)
    append(client, OTHER, OF_OTHER)
    apply(client, published)
    merged(client, published)
    once = client.get(state_of(published).seen(OTHER))
    found = activity(client, published, OTHER)
    assert all(item_hash(item_id) in found.seen for _, item_id in many + OF_OTHER)
    merged(client, published)
    assert client.get(state_of(published).seen(OTHER)) == once


def test_events_in_flight_and_later_ones_are_the_others(
    published: Release, client: Client, serve_published: Callable[..., Any]
) -> None:
    consumer = Consumer(client, published, "test")
    consumer.group.join()
    append(client, FORMER, OF_FORMER[:5])
    merged(client, published)
    with serve_published() as server:
        sent = {"user_id": FORMER, "item_id": "item-200", "event": "view"}
        assert server.v1(sent, model="events")[0] == 200
        [read] = server.v1({"user_id": OTHER, "action": "read"}, model="users")[1]["predictions"]
        # At once, before a sidecar has applied it.
        assert read["history"][0]["item_id"] == "item-200"
    while consumer.step():
        pass
    items = [entry.split(b"|")[2].decode() for entry in activity(client, published, OTHER).history]
    assert items[::-1] == [item_id for _, item_id in OF_FORMER[:5]] + ["item-200"]
    assert activity(client, published, FORMER).history == []


def test_attributes_of_the_other_win(published: Release, client: Client) -> None:
    attributes = Attributes(client, published)
    attributes.change([(FORMER, {"country": "fi"}), (OTHER, {"country": "is"}), ("third", {"country": None})])
    merged(client, published)
    assert attributes.effective([OTHER, FORMER]) == [{"country": "is"}, {"country": None}]
    merged(client, published, OTHER, "third")
    assert attributes.effective(["third"]) == [{"country": "is"}]


def test_a_merged_user_cannot_be_merged_elsewhere(published: Release, client: Client) -> None:
    merged(client, published)
    with pytest.raises(NotMerged, match="user_id: was merged into another user already"):
        merged(client, published, FORMER, "third")
    with pytest.raises(NotMerged, match="into: was merged into another user already"):
        merged(client, published, "third", FORMER)


def test_logs_of_releases_follow(published: Release, client: Client, redis_url: str, tmp_path: Path) -> None:
    both = {
        entry
        for user_id in ("user-1", "user-2")
        for entry in client.lrange(state_of(published).history(user_id), 0, -1)
    }
    merged(client, published, "user-1", "user-2")
    assert set(activity(client, published, "user-2").history) == both
    rebuild(published, redis_url, show_progress=False, exports=str(tmp_path / "none"))
    assert set(activity(client, published, "user-2").history) == both
    remove(published.manifest.number, redis_url)
    publish(published.folder, redis_url, show_progress=False)
    assert set(activity(client, published, "user-2").history) == both
    assert not client.exists(Keys(published.manifest.number).user_row("user-1"))
    keys = [place for place in in_redis(client, [b"{u:user-1}"]) if "events" not in place]
    assert keys == []
