"""The sidecar against a real Redis: nothing is lost, nothing twice."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from redis import Redis

from bloom_sidecar.apply import Event, apply
from bloom_sidecar.consumer import Consumer
from winnow.filtering.hashing import item_hash
from winnow.filtering.seen import SeenFilter
from winnow.release import Release
from winnow.store.keys import EVENTS, Keys


@pytest.fixture
def client(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


def seen(client: Redis, keys: Keys, user_id: str) -> SeenFilter:
    return SeenFilter.from_bytes(client.get(keys.seen(user_id)))


def test_events_of_one_user_reach_history_and_filter_once(client: Redis, published: Release) -> None:
    keys = Keys(published.manifest.number)
    before = client.lrange(keys.history("user-1"), 0, -1)
    events = [Event("user-1", f"item-{n}", 1, 1_900_000_000_000 + n) for n in range(3)]
    for _ in range(2):
        apply(client, keys, "user-1", events)
    newest_first = [f"{event.timestamp}|1|{event.item_id}".encode() for event in reversed(events)]
    assert client.lrange(keys.history("user-1"), 0, -1) == (newest_first + before)[:200]
    assert all(item_hash(event.item_id) in seen(client, keys, "user-1") for event in events)


def test_an_undeclared_type_is_seen_but_not_history(client: Redis, published: Release) -> None:
    keys = Keys(published.manifest.number)
    apply(client, keys, "somebody", [Event("somebody", "item-7", 0, 5)])
    assert item_hash("item-7") in seen(client, keys, "somebody")
    assert not client.exists(keys.history("somebody"))


def test_concurrent_writers_lose_no_item(redis_url: str, client: Redis, published: Release) -> None:
    keys = Keys(published.manifest.number)

    def write(writer: int) -> None:
        with Redis.from_url(redis_url) as own:
            for n in range(40):
                apply(own, keys, "crowded", [Event("crowded", f"w{writer}-{n}", 1, writer * 1000 + n)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    met = seen(client, keys, "crowded")
    assert all(item_hash(f"w{writer}-{n}") in met for writer in range(4) for n in range(40))
    assert client.llen(keys.history("crowded")) == 160


def test_entries_of_a_dead_sidecar_are_taken_over(
    client: Redis, published: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(published.manifest.number)
    consumer = Consumer(client, keys, published.schema.events, "alive")
    consumer._join()
    client.xadd(EVENTS, {"user_id": "late", "item_id": "item-9", "event": "buy", "timestamp": 77})
    client.xadd(EVENTS, {"user_id": "late"})
    # Another member read them and died before it acknowledged.
    client.xreadgroup(keys.group, "dead", {EVENTS: ">"}, count=10_000)
    assert client.xpending(EVENTS, keys.group)["pending"] >= 2
    monkeypatch.setattr("bloom_sidecar.consumer._STALE_MS", 0)
    monkeypatch.setattr("bloom_sidecar.consumer._BLOCK_MS", 1)
    while consumer.step():
        pass
    assert client.lrange(keys.history("late"), 0, -1) == [b"77|2|item-9"]
    assert client.xpending(EVENTS, keys.group)["pending"] == 0


def test_the_process_serves_its_probes_and_stops_when_told(redis_url: str, client: Redis, published: Release) -> None:
    keys = Keys(published.manifest.number)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bloom_sidecar", "--release-dir", str(published.folder)]
    process = subprocess.Popen([*command, "--redis-url", redis_url, "--health-port", str(port)], env=os.environ)
    try:
        _until(lambda: _get(port, "/ready") == 200)
        client.xadd(EVENTS, {"user_id": "fresh", "item_id": "item-4", "event": "view", "timestamp": 99})
        _until(lambda: client.exists(keys.seen("fresh")))
        assert client.lrange(keys.history("fresh"), 0, -1) == [b"99|1|item-4"]
        assert _get(port, "/health") == 200
        assert _get(port, "/metrics") == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_another_release_is_refused(redis_url: str, release: Release) -> None:
    command = [sys.executable, "-m", "bloom_sidecar", "--release-dir", str(release.folder), "--redis-url", redis_url]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 1
    assert f"holds no release {release.manifest.number}" in finished.stderr


def _get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return response.status
    except OSError:
        return 0


def _until(holds: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
