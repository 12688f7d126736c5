"""Releases of one data set share the users' state: what each adds, and what none may lose."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bloom_sidecar.apply import apply
from bloom_sidecar.consumer import Consumer
from tests.support.redis_fixtures import server_and_cluster
from tests.support.sidecar.logged_release import Log, write
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import WINDOW_MS, SeenFilter
from winnow.bloom.shadow import sampled
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store import bulk, shared_state
from winnow.store import publish as module
from winnow.store.connection import Client, RedisError
from winnow.store.events import Event
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import publish, remove
from winnow.store.shared_state import state_of
from winnow.store.trending import created_ms
from winnow.store.user_activity import UserActivity, watched

redis_url = server_and_cluster

SAMPLED = next(f"s{n}" for n in range(10_000) if sampled(f"s{n}"))


@pytest.fixture
def dataset(tmp_path: Path, client: Client) -> Iterator[str]:
    """The name of a data set that no other test uses; the event stream is empty."""
    client.delete(EVENTS)
    yield tmp_path.name
    client.delete(EVENTS)


def later(release: Release, by: timedelta) -> Release:
    """The same release, built later."""
    path = release.folder / "manifest.json"
    created = release.manifest.created_at + by
    path.write_text(release.manifest.model_copy(update={"created_at": created}).model_dump_json(indent=1))
    return Release.open(release.folder)


def history(client: Client, release: Release, user_id: str) -> list[bytes]:
    return client.lrange(state_of(release).history(user_id), 0, -1)


def seen(client: Client, release: Release, user_id: str) -> SeenFilter:
    return SeenFilter.from_bytes(client.get(state_of(release).seen(user_id)))


def touched(client: Client, release: Release, user_id: str) -> CategoryFilter:
    return CategoryFilter.from_bytes(client.get(state_of(release).categories(user_id)))


def content(client: Client, release: Release, users: Sequence[str]) -> list[Any]:
    """All that Redis has of the users' state."""
    kept: list[Any] = []
    for user_id in users:
        filters = watched(state_of(release), user_id)
        kept += [client.get(filters[0]), client.lrange(filters[1], 0, -1), client.get(filters[2])]
        kept.append(client.zrange(filters[3], 0, -1, withscores=True))
    return kept


def follow(client: Client, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply the stream as a sidecar of the release."""
    monkeypatch.setattr("bloom_sidecar.group._BLOCK_MS", 1)
    consumer = Consumer(client, release, "alive")
    consumer.group.join()
    while consumer.step():
        pass


def append(client: Client, user_id: str, item_id: str, timestamp: int) -> None:
    client.xadd(EVENTS, {"user_id": user_id, "item_id": item_id, "event": "view", "timestamp": timestamp})


def test_the_next_release_adds_what_its_log_has_beyond_the_one_before(
    client: Client, redis_url: str, tmp_path: Path, dataset: str
) -> None:
    old = write(tmp_path, dataset, {"same": [("a", 1, 5)], "more": [("a", 1, 5)], SAMPLED: [("a", 1, 6)]})
    new = write(
        tmp_path,
        dataset,
        {
            "new": [("z", 2, 9)],
            SAMPLED: [("a", 1, 6), ("b", 1, 8)],
            "more": [("a", 1, 5), ("z", 1, 7)],
            "same": [("a", 1, 5)],
        },
        {"z": "other"},
    )
    assert state_of(new) == state_of(old)
    publish(old.folder, redis_url, show_progress=False)
    # Not even read: nothing of this user's is written again.
    client.delete(*watched(state_of(old), "same"))
    publish(new.folder, redis_url, show_progress=False)
    assert content(client, new, ["same"]) == [None, [], None, []]
    assert history(client, new, "more") == [b"7|1|z", b"5|1|a"]
    assert history(client, new, "new") == [b"9|2|z"]
    assert all(item_hash(item) in seen(client, new, "more") for item in "az")
    assert item_hash("b") not in seen(client, new, "more")
    assert all(item_hash(category) in touched(client, new, "more") for category in ("c", "other"))
    shadow = client.zrange(state_of(new).shadow(SAMPLED), 0, -1)
    assert {int.from_bytes(member, "little", signed=True) for member in shadow} == {item_hash("a"), item_hash("b")}
    assert client.exists(Keys(new.manifest.number).user_row("same"))


def test_the_order_of_publications_does_not_matter(
    client: Client, redis_url: str, tmp_path: Path, dataset: str
) -> None:
    one: Log = {"u": [("a", 1, 5), ("b", 1, 7)], SAMPLED: [("c", 1, 1)]}
    two: Log = {"u": [("b", 1, 7), ("d", 2, 9), ("x", 1, 10)], SAMPLED: [("d", 1, 2)], "w": []}
    found = []
    for name, order in (("forth", (one, two)), ("back", (two, one))):
        for log in order:
            written = write(tmp_path, f"{dataset}-{name}", log, {"x": ""})
            publish(written.folder, redis_url, show_progress=False)
        found.append(content(client, written, ["u", SAMPLED, "w"]))
    assert found[0] == found[1]
    assert found[0][1] == [b"10|1|x", b"9|2|d", b"7|1|b", b"5|1|a"]
    assert found[0][8:] == [None, [], None, []]


def test_an_event_that_either_releases_sidecar_applies_counts_for_both_and_once(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path, dataset, {"u": [("a", 1, 5)]})
    new = write(tmp_path, dataset, {"u": [("a", 1, 5)]}, {"z": "other"})
    publish(old.folder, redis_url, show_progress=False)
    publish(new.folder, redis_url, show_progress=False)
    append(client, "u", "b", 7)
    append(client, "u", "z", 8)
    follow(client, old, monkeypatch)
    assert history(client, new, "u") == [b"8|1|z", b"7|1|b", b"5|1|a"]
    # The older release does not know the item's category; the newer one's sidecar adds it, and changes nothing else.
    assert item_hash("other") not in touched(client, old, "u")
    before = content(client, new, ["u"])
    follow(client, new, monkeypatch)
    assert item_hash("other") in touched(client, old, "u")
    assert content(client, new, ["u"])[:2] == before[:2]
    for release in (old, new):
        assert client.zscore(Keys(release.manifest.number).counts, "2") > 0


def test_a_publication_loses_no_event_that_sidecars_have_applied(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path, dataset, {"u": [("a", 1, 5)], "quiet": [("a", 1, 5)]})
    publish(old.folder, redis_url, show_progress=False)
    append(client, "u", "d", 20)
    append(client, "unknown", "d", 20)
    follow(client, old, monkeypatch)
    new = write(tmp_path, dataset, {"u": [("a", 1, 5), ("b", 1, 9)], "unknown": [("b", 1, 9)]})
    publish(new.folder, redis_url, show_progress=False)
    assert history(client, new, "u") == [b"20|1|d", b"9|1|b", b"5|1|a"]
    assert history(client, new, "unknown") == [b"20|1|d", b"9|1|b"]
    assert all(item_hash(item) in seen(client, new, "unknown") for item in "bd")
    # A user whom the new log lacks keeps the state.
    assert history(client, new, "quiet") == [b"5|1|a"]


def test_a_user_whom_a_sidecar_writes_during_a_publication_keeps_both(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path, dataset, {"u": [("a", 1, 5)]})
    publish(old.folder, redis_url, show_progress=False)
    read_all = UserActivity.read_all

    def read_and_be_late(*arguments: Any) -> list[UserActivity | None]:
        held = read_all(*arguments)
        apply(client, state_of(old), "u", [Event("u", "d", 1, 20, created_ms(old.manifest))], {}, WINDOW_MS)
        return held

    monkeypatch.setattr(UserActivity, "read_all", read_and_be_late)
    publish(write(tmp_path, dataset, {"u": [("a", 1, 5), ("b", 1, 9)]}).folder, redis_url, show_progress=False)
    assert history(client, old, "u") == [b"20|1|d", b"9|1|b", b"5|1|a"]
    assert all(item_hash(item) in seen(client, old, "u") for item in "abd")


def test_a_release_of_the_next_window_makes_its_log_seen_in_that_window(
    client: Client, redis_url: str, tmp_path: Path, dataset: str
) -> None:
    log: Log = {"u": [("a", 1, 5)]}
    publish(write(tmp_path, dataset, log).folder, redis_url, show_progress=False)
    new = later(write(tmp_path, dataset, log), timedelta(milliseconds=WINDOW_MS))
    publish(new.folder, redis_url, show_progress=False)
    assert [item_hash("a") in window for window in seen(client, new, "u").windows.values()] == [True, True]
    assert history(client, new, "u") == [b"5|1|a"]


def test_an_item_of_another_category_touches_that_too(
    client: Client, redis_url: str, tmp_path: Path, dataset: str
) -> None:
    publish(write(tmp_path, dataset, {"u": [("a", 1, 5)]}).folder, redis_url, show_progress=False)
    new = write(tmp_path, dataset, {"u": [("a", 1, 5)]}, {"a": "renamed"})
    publish(new.folder, redis_url, show_progress=False)
    assert all(item_hash(category) in touched(client, new, "u") for category in ("c", "renamed"))


def test_what_a_state_depends_on_gives_another(tmp_path: Path) -> None:
    log: Log = {"u": [("a", 1, 5)]}
    first = state_of(write(tmp_path, "shop", log))
    assert state_of(write(tmp_path, "shop", {}, {"z": "other"}, encoders="{}", training="{}")) == first
    folder = state_of(write(tmp_path, "shop", log, data="here"))
    assert state_of(write(tmp_path, "shop", log, data="there", items=5)) == folder
    others = [
        folder,
        state_of(write(tmp_path, "another shop", log)),
        state_of(write(tmp_path, "shop", log, holdout="last")),
        state_of(write(tmp_path, "shop", log, events=("buy", "view", "watch", "dislike"))),
        state_of(write(tmp_path, "shop", log, seed=8)),
    ]
    assert len({first.name, *(state.name for state in others)}) == 1 + len(others)


def test_an_interrupted_publication_goes_on_where_it_stopped(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "SLICE", 3)
    monkeypatch.setattr(module, "SLICE", 3)
    log: Log = {f"u{n}": [("a", 1, 5), ("b", 1, 6 + n)] for n in range(10)}
    users = list(log)
    whole = write(tmp_path, f"{dataset}-whole", log)
    publish(whole.folder, redis_url, show_progress=False)
    release = write(tmp_path, dataset, log)
    _fail_after(monkeypatch, 3)
    with pytest.raises(WinnowError, match="publish it again, which continues"):
        publish(release.folder, redis_url, show_progress=False)
    keys = Keys(release.manifest.number)
    assert client.hmget(keys.publishing, "items", "users") == [b"5", b"6"]
    assert not client.exists(keys.manifest)
    monkeypatch.undo()
    monkeypatch.setattr(shared_state, "SLICE", 3)
    monkeypatch.setattr(module, "SLICE", 3)
    # Written by the first part of the publication: the second one does not write it again.
    client.delete(keys.user_row("u0"))
    publish(release.folder, redis_url, show_progress=False)
    assert not client.exists(keys.user_row("u0"))
    assert content(client, release, users) == content(client, whole, users)
    assert not client.exists(keys.publishing)


def test_progress_does_not_count_once_another_release_has_filled_the_state(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "SLICE", 1)
    monkeypatch.setattr(module, "SLICE", 1)
    first = write(tmp_path, dataset, {"u": [("a", 1, 5)], "v": [("a", 1, 5)]})
    second = write(tmp_path, dataset, {"u": [("b", 1, 6)], "v": [("b", 1, 6)]})
    for release, sent in ((first, 2), (second, 2)):
        _fail_after(monkeypatch, sent)
        with pytest.raises(WinnowError, match="continues"):
            publish(release.folder, redis_url, show_progress=False)
    monkeypatch.setattr(module, "send", bulk.send)
    publish(first.folder, redis_url, show_progress=False)
    publish(second.folder, redis_url, show_progress=False)
    for user_id in ("u", "v"):
        assert history(client, first, user_id) == [b"6|1|b", b"5|1|a"]


def _fail_after(monkeypatch: pytest.MonkeyPatch, sent: int) -> None:
    """Let the publication's connection fail when it sends for the time after ``sent``."""
    left = iter(range(sent))

    def send(client: Client, commands: Sequence[bulk.Command]) -> None:
        if next(left, None) is None:
            raise RedisError("killed")
        bulk.send(client, commands)

    monkeypatch.setattr(module, "send", send)


def test_an_unreadable_filter_is_left_to_a_rebuild(
    client: Client, redis_url: str, tmp_path: Path, dataset: str
) -> None:
    old = write(tmp_path, dataset, {"u": [("a", 1, 5)], "v": [("a", 1, 5)]})
    publish(old.folder, redis_url, show_progress=False)
    client.set(state_of(old).seen("u"), b"noise")
    new = write(tmp_path, dataset, {"u": [("b", 1, 6)], "v": [("b", 1, 6)]})
    publish(new.folder, redis_url, show_progress=False)
    assert client.get(state_of(old).seen("u")) == b"noise"
    assert history(client, old, "v") == [b"6|1|b", b"5|1|a"]


def test_the_state_goes_with_the_last_release_that_uses_it(
    client: Client, redis_url: str, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (write(tmp_path, dataset, {"u": [("a", 1, 5)]}) for _ in range(2))
    other = write(tmp_path, f"{dataset}-other", {"u": [("a", 1, 5)]})
    for release in (old, new, other):
        publish(release.folder, redis_url, show_progress=False)
    append(client, "u", "b", 7)
    follow(client, old, monkeypatch)
    number, state = old.manifest.number, state_of(old)
    remove(number, redis_url)
    assert list(client.scan_iter(match=f"r{number}:*")) == []
    assert Keys(number).group.encode() not in {group["name"] for group in client.xinfo_groups(EVENTS)}
    assert history(client, new, "u") == [b"7|1|b", b"5|1|a"]
    with pytest.raises(WinnowError, match=f"no release {number}"):
        remove(number, redis_url)
    remove(new.manifest.number, redis_url)
    assert list(client.scan_iter(match=f"{state.name}:*")) == []
    assert history(client, other, "u") == [b"5|1|a"]
    # Nothing is left that would keep users of the next publication from being written.
    publish(old.folder, redis_url, show_progress=False)
    assert history(client, old, "u") == [b"5|1|a"]
