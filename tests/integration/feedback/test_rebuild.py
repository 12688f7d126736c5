"""Filters and histories from the log and the stream alone, while events keep coming."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from redis import Redis

from bloom_sidecar.apply import apply
from bloom_sidecar.consumer import Consumer
from tests.support.redis_fixtures import server_and_cluster
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import WINDOW_MS, SeenFilter
from winnow.errors import ReleaseMismatch
from winnow.feedback import rebuild as module
from winnow.feedback.rebuild import rebuild
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.events import Event, entered_ms
from winnow.store.keys import EVENTS, Keys
from winnow.store.shared_state import state_of
from winnow.store.user_activity import watched

redis_url = server_and_cluster


@pytest.fixture(autouse=True)
def _stream_of_our_own(client: Redis) -> None:
    client.delete(EVENTS)


def append(client: Redis, user_id: str, number: int) -> Event:
    fields = {"user_id": user_id, "item_id": f"item-{number % 300 + 1}", "event": "view", "timestamp": 10**12 + number}
    stream_id = client.xadd(EVENTS, fields)
    return Event(user_id, str(fields["item_id"]), 1, 10**12 + number, entered_ms(stream_id))


def dump(client: Redis, release: Release, user_id: str) -> list[object]:
    seen, history, categories, shadow = watched(state_of(release), user_id)
    kept = client.zrange(shadow, 0, -1, withscores=True)
    return [client.get(seen), client.lrange(history, 0, -1), client.get(categories), kept]


def follow(client: Redis, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloom_sidecar.group._BLOCK_MS", 1)
    consumer = Consumer(client, release, "alive")
    consumer.group.join()
    while consumer.step():
        pass


@pytest.mark.parametrize("at_once", [500_000, 40])
def test_a_rebuild_equals_what_the_sidecars_wrote(
    client: Redis, redis_url: str, published: Release, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "_EVENTS_PER_PASS", at_once)
    number = published.manifest.number
    users = [f"user-{n}" for n in range(20)] + ["new-1", "new-2"]
    for n in range(150):
        append(client, users[n % 11 * 2], n)
    follow(client, published, monkeypatch)
    before = {user_id: dump(client, published, user_id) for user_id in users}
    for user_id in users[:-1]:
        client.set(state_of(published).seen(user_id), b"noise")
        client.delete(state_of(published).history(user_id))
    assert rebuild(published, redis_url, show_progress=False) == (21, 150)
    assert {user_id: dump(client, published, user_id) for user_id in users} == before
    assert int(client.get(Keys(number).rebuilds)) == 1


def test_the_command_rebuilds_a_given_release(
    client: Redis, redis_url: str, published: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Like a Job on a cluster, which has the release in a folder and no home with a running stack."""
    for n in range(10):
        append(client, "new-1", n)
    follow(client, published, monkeypatch)
    number = published.manifest.number
    before = dump(client, published, "new-1")
    client.delete(state_of(published).history("new-1"))
    command = [Path(sys.executable).with_name("winnow"), "filters", "rebuild", f"--release-dir={published.folder}"]
    environment = os.environ | {"REDIS_URL": redis_url, "WINNOW_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"release {number}: ")
    assert dump(client, published, "new-1") == before


def test_events_applied_during_a_rebuild_are_kept(client: Redis, redis_url: str, published: Release) -> None:
    written: list[Event] = []
    stop = threading.Event()

    def write() -> None:
        with connect(redis_url) as own:
            while not stop.is_set():
                event = append(own, f"user-{len(written) % 5}", len(written))
                apply(own, state_of(published), event.user_id, [event], {}, WINDOW_MS)
                written.append(event)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            rebuild(published.folder, redis_url, show_progress=False)
    finally:
        stop.set()
        writer.join()
    assert len(written) > 20
    for user_id in {event.user_id for event in written}:
        seen = SeenFilter.from_bytes(client.get(state_of(published).seen(user_id)))
        history = client.lrange(state_of(published).history(user_id), 0, -1)
        mine = [event for event in written if event.user_id == user_id]
        assert all(item_hash(event.item_id) in seen for event in mine)
        stored = {(int(entry.split(b"|")[0])) for entry in history}
        newest = sorted((event.timestamp for event in mine), reverse=True)
        log = sum(timestamp > 10**12 + 10**9 for timestamp in stored)
        assert set(newest[: 200 - log]) <= stored
        assert len(stored) == len(history)


def test_an_unpublished_release_is_refused(release: Release, redis_url: str) -> None:
    with pytest.raises(ReleaseMismatch, match=f"holds no release {release.manifest.number}"):
        rebuild(release, redis_url, show_progress=False)
