"""The sidecar with a real Redis: no event is lost or applied twice."""

import logging
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY
from redis import Redis

from bloom_sidecar import health
from bloom_sidecar.apply import apply
from bloom_sidecar.consumer import Consumer
from tests.support.redis_fixtures import own_redis, server_and_cluster
from tests.support.sidecar.crash import PRODUCERS, crash_a_sidecar
from tests.support.sidecar.process import CATEGORIES, start_sidecar
from tests.support.until import until
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import WINDOW_MS, SeenFilter
from winnow.bloom.shadow import sampled
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.events import Event
from winnow.store.keys import EVENTS, Keys
from winnow.store.shared_state import state_of
from winnow.store.stored_items import StoredItems

redis_url = server_and_cluster

NOW = 1_790_000_000_000


def seen(client: Redis, release: Release, user_id: str) -> SeenFilter:
    return SeenFilter.from_bytes(client.get(state_of(release).seen(user_id)))


def applied(client: Redis, release: Release, user_id: str, *events: Event) -> None:
    items = StoredItems(client, release).read([event.item_id for event in events])
    apply(client, state_of(release), user_id, events, items, WINDOW_MS)


@pytest.fixture
def consumer(client: Redis, published: Release, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """A consumer of a group that has read the whole stream; it takes over pending entries at once."""
    monkeypatch.setattr("bloom_sidecar.group._STALE_MS", 0)
    monkeypatch.setattr("bloom_sidecar.group._CLAIM_S", 0.0)
    monkeypatch.setattr("bloom_sidecar.group._BLOCK_MS", 1)
    consumer = Consumer(client, published, "alive")
    client.xgroup_create(EVENTS, f"r{published.manifest.number}", id="$", mkstream=True)
    return consumer


def append(client: Redis, user_id: str, item: int, event: str = "view", timestamp: int = 99) -> None:
    client.xadd(EVENTS, {"user_id": user_id, "item_id": f"item-{item}", "event": event, "timestamp": timestamp})


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_events_of_one_user_reach_history_and_filter_once(client: Redis, published: Release) -> None:
    history = state_of(published).history("user-1")
    before = client.lrange(history, 0, -1)
    events = [Event("user-1", f"item-{n}", 1, 1_900_000_000_000 + n, NOW) for n in range(3)]
    for _ in range(2):
        applied(client, published, "user-1", *events)
    newest_first = [f"{event.timestamp}|1|{event.item_id}".encode() for event in reversed(events)]
    assert client.lrange(history, 0, -1) == (newest_first + before)[:200]
    assert all(item_hash(event.item_id) in seen(client, published, "user-1") for event in events)


def test_a_late_event_is_sorted_by_time(client: Redis, published: Release) -> None:
    for timestamp in (50, 30, 40):
        applied(client, published, "late", Event("late", f"item-{timestamp}", 1, timestamp, NOW))
    kept = client.lrange(state_of(published).history("late"), 0, -1)
    assert kept == [b"50|1|item-50", b"40|1|item-40", b"30|1|item-30"]


def test_an_undeclared_event_type_is_seen_but_not_in_the_history(client: Redis, published: Release) -> None:
    applied(client, published, "a-user", Event("a-user", "item-7", 0, 5, NOW))
    assert item_hash("item-7") in seen(client, published, "a-user")
    assert not client.exists(state_of(published).history("a-user"))


def test_the_categories_of_catalog_items_are_added(client: Redis, published: Release) -> None:
    key = state_of(published).categories("curious")
    applied(client, published, "curious", Event("curious", "no-such-item", 1, 5, NOW))
    assert not client.exists(key)
    applied(client, published, "curious", Event("curious", "item-7", 1, 6, NOW))
    category = CATEGORIES[published.array("item_rows")["categorical"][7, 0]]
    touched = CategoryFilter.from_bytes(client.get(key))
    assert item_hash(category) in touched
    assert len(touched) == 1


def test_a_new_items_category_is_added_and_it_is_counted(client: Redis, published: Release, consumer: Consumer) -> None:
    keys = Keys(published.manifest.number)
    row = np.zeros(1, published.schema.item_dtype)
    row["index"], row["categorical"][0, 0] = 311, 2
    client.set(keys.item("brand-new"), row.tobytes())
    fields = {"user_id": "early", "item_id": "brand-new", "event": "buy", "timestamp": 5}
    client.xadd(EVENTS, fields)
    consumer.step()
    assert item_hash(CATEGORIES[2]) in CategoryFilter.from_bytes(client.get(state_of(published).categories("early")))
    assert client.zscore(keys.counts, "311") == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize(
    ("event", "amount", "value"),
    [
        ("buy", "", 4.0),
        ("buy", "5", 4.0),  # not graded
        ("watch", "", 2.0),
        ("watch", "15", 1.0),
        ("watch", "3e9", 2.0),
        ("watch", "0", 0.0),
        ("dislike", "", 0.0),
        ("unheard-of", "", 0.0),
    ],
)
def test_an_event_counts_by_its_value_and_never_negatively(
    client: Redis, published: Release, consumer: Consumer, event: str, amount: str, value: float
) -> None:
    counts = Keys(published.manifest.number).counts
    client.delete(counts)
    fields = {"user_id": "grader", "item_id": "item-9", "event": event, "timestamp": 5}
    client.xadd(EVENTS, fields | ({"amount": amount} if amount else {}))
    assert consumer.step() == 1
    counted = client.zrange(counts, 0, -1, withscores=True)
    assert counted == ([(b"9", pytest.approx(value, rel=1e-3))] if value else [])
    assert client.xpending(EVENTS, f"r{published.manifest.number}")["pending"] == 0


@pytest.mark.parametrize("amount", ["much", "nan", "inf", "-1"])
def test_an_entry_with_a_broken_amount_is_malformed(
    client: Redis, published: Release, consumer: Consumer, amount: str
) -> None:
    before = metric("winnow_sidecar_events_total", outcome="malformed")
    client.xadd(EVENTS, {"user_id": "g", "item_id": "item-9", "event": "watch", "timestamp": 5, "amount": amount})
    assert consumer.step() == 1
    assert metric("winnow_sidecar_events_total", outcome="malformed") == before + 1


def test_published_users_have_their_categories(client: Redis, published: Release) -> None:
    first, end = published.array("offsets")[3:5]
    codes = set(published.array("item_rows")["categorical"][published.array("item")[first:end], 0].tolist())
    touched = CategoryFilter.from_bytes(client.get(state_of(published).categories("user-3")))
    assert all(item_hash(CATEGORIES[code]) in touched for code in codes)
    assert len(touched) == len(codes)


def test_concurrent_writers_lose_no_item(redis_url: str, client: Redis, published: Release) -> None:
    def write(writer: int) -> None:
        with connect(redis_url) as own:
            for n in range(20):
                applied(own, published, "crowded", Event("crowded", f"w{writer}-{n}", 1, writer * 1000 + n, NOW))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen_filter = seen(client, published, "crowded")
    assert all(item_hash(f"w{writer}-{n}") in seen_filter for writer in range(8) for n in range(20))
    assert client.llen(state_of(published).history("crowded")) == 160


def test_unacknowledged_entries_of_a_dead_sidecar_are_taken_over(
    client: Redis, published: Release, consumer: Consumer
) -> None:
    keys = Keys(published.manifest.number)
    append(client, "late", 9, "buy", 77)
    client.xadd(EVENTS, {"user_id": "late"})
    # Another consumer read them and died before it acknowledged them.
    client.xreadgroup(keys.group, "dead", {EVENTS: ">"}, count=10_000)
    lag = consumer.group.lag()
    assert (lag.pending, lag.behind) == (2, 0)
    append(client, "later", 10)
    assert consumer.group.lag().behind == 1
    assert consumer.group.lag().seconds > 0
    while consumer.step():
        pass
    assert client.lrange(state_of(published).history("late"), 0, -1) == [b"77|2|item-9"]
    assert consumer.group.lag() == (0, 0, 0.0)


def test_an_unreadable_filter_is_counted_and_its_events_stay_pending(
    client: Redis, published: Release, consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    client.set(state_of(published).seen("broken"), b"noise")
    before = metric("winnow_filter_unreadable_total")
    append(client, "broken", 3)
    append(client, "whole", 3)
    with caplog.at_level(logging.ERROR, "bloom_sidecar"):
        consumer.step()
    assert "'broken'" in caplog.text
    assert metric("winnow_filter_unreadable_total") == before + 1
    assert consumer.group.lag().pending == 1
    assert client.get(state_of(published).seen("broken")) == b"noise"
    assert item_hash("item-3") in seen(client, published, "whole")
    client.delete(state_of(published).seen("broken"))
    consumer.step()
    assert item_hash("item-3") in seen(client, published, "broken")
    assert consumer.group.lag().pending == 0


def test_a_sampled_users_filter_is_measured_and_windows_rotate(
    client: Redis, published: Release, consumer: Consumer
) -> None:
    user_id = next(f"probe-{n}" for n in range(10_000) if sampled(f"probe-{n}"))
    before = {name: metric(name) for name in ("winnow_filter_rotations_total", "winnow_filter_false_negatives_total")}
    asked = metric("winnow_filter_probes_total", answer="not met")
    applied(client, published, user_id, *(Event(user_id, f"old-{n}", 1, n, NOW - 9 * WINDOW_MS) for n in range(50)))
    assert client.zcard(state_of(published).shadow(user_id)) == 50
    append(client, user_id, 8)
    consumer.step()
    assert metric("winnow_filter_probes_total", answer="not met") >= asked + 200
    assert metric("winnow_filter_false_positive_rate") <= 0.05
    assert metric("winnow_filter_rotations_total") == before["winnow_filter_rotations_total"] + 1
    assert client.zrange(state_of(published).shadow(user_id), 0, -1) == [
        item_hash("item-8").to_bytes(16, "little", signed=True)
    ]
    # A filter that denies an item of its shadow is defective and counted.
    client.set(state_of(published).seen(user_id), SeenFilter.of([1], int(time.time() * 1000)).to_bytes())
    append(client, user_id, 9)
    consumer.step()
    assert metric("winnow_filter_false_negatives_total") == before["winnow_filter_false_negatives_total"] + 1


def test_the_process_serves_probes_and_stops_on_sigterm(
    redis_url: str, client: Redis, published: Release, tmp_path: Path
) -> None:
    keys = Keys(published.manifest.number)
    port = Ports.free().sidecar
    process = start_sidecar(published, redis_url, tmp_path, port, "--window-days=30")
    try:
        append(client, "fresh", 4)
        until(lambda: client.exists(state_of(published).seen("fresh")))
        assert client.lrange(state_of(published).history("fresh"), 0, -1) == [b"99|1|item-4"]
        assert get(port, "/health") == "ok\n"
        assert get(port, "/ready") == "ready\n"
        exposed = get(port, "/metrics")
        for name in ("behind_seconds", "pending_entries", "events_total"):
            assert f"winnow_sidecar_{name}" in exposed
        for _ in range(300):
            append(client, "last", 5)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    group = next(g for g in client.xinfo_groups(EVENTS) if g["name"] == keys.group.encode())
    # Every read entry is acknowledged, and the group has no consumer left.
    assert (group["pending"], group["consumers"]) == (0, 0)


@pytest.mark.slow
def test_nothing_is_lost_when_one_of_two_sidecars_is_killed(tmp_path: Path) -> None:
    with own_redis(tmp_path) as url:
        crash = crash_a_sidecar(tmp_path, url, 9001, each=150)
    assert crash.events == PRODUCERS * 150
    assert crash.taken_over > 0
    assert (crash.false_negatives, crash.lost, crash.twice, crash.miscounted) == (0, 0, 0, 0)


def test_a_stuck_sidecar_fails_its_health_probe() -> None:
    port = Ports.free().sidecar
    server = health.serve("127.0.0.1", port, alive=lambda: False, ready=lambda: True)
    try:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(port, "/health")
        assert get(port, "/ready") == "ready\n"
    finally:
        server.shutdown()
        server.server_close()


def test_another_release_is_refused(redis_url: str, release: Release) -> None:
    command = [sys.executable, "-m", "bloom_sidecar", "--release-dir", str(release.folder), "--redis-url", redis_url]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 1
    assert f"holds no release {release.manifest.number}" in finished.stderr


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
        return response.read().decode()


def test_entries_read_before_a_redis_failure_are_read_again_first(
    client: Redis, published: Release, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bloom_sidecar.group._STALE_MS", 3_600_000)
    keys = Keys(published.manifest.number)
    append(client, "interrupted", 6)
    assert len(consumer.group.new()) == 1
    consumer.group.join()
    assert consumer.step() == 1
    assert item_hash("item-6") in seen(client, published, "interrupted")
    assert client.xpending(EVENTS, keys.group)["pending"] == 0
