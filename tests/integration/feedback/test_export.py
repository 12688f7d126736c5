"""The streams as files: every entry once, also after a kill, and only acknowledged entries are trimmed."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from prometheus_client import REGISTRY
from redis import Redis

from bloom_sidecar.consumer import Consumer
from tests.support.redis_fixtures import own_redis
from winnow.datasets.ingest import ingest
from winnow.errors import WinnowError
from winnow.feedback import export as module
from winnow.feedback import export_files, trim
from winnow.feedback.export import export
from winnow.feedback.exported_events import ExportedEvents
from winnow.feedback.rebuild import rebuild
from winnow.release import Release
from winnow.store.keys import EVENTS, EXPORTED, IMPRESSIONS, TRIMMED, Keys
from winnow.store.shared_state import state_of
from winnow.store.user_activity import watched


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: trimming affects every reader of the stream."""
    with own_redis(tmp_path) as url:
        yield url


def append(client: Redis, number: int, **more: str) -> bytes:
    fields = {"user_id": f"user-{number % 25}", "item_id": f"item-{number % 300 + 1}", "event": "view"}
    return client.xadd(EVENTS, fields | {"timestamp": 10**12 + number} | more)


def shown(client: Redis, number: int) -> bytes:
    items = [{"item_id": "item-1", "position": 0, "score": 0.5, "propensity": 0.25, "sources": ["new_items"]}]
    fields = {"request_id": f"r{number}", "user_id": "", "release": 7, "timestamp": 99, "items": json.dumps(items)}
    return client.xadd(IMPRESSIONS, fields | {"degraded": "[]", "features": "0123456789abcdef", "item_rows": b"\0\xff"})


def exported(folder: Path, kind: export_files.StreamTable = export_files.EVENT_TABLE) -> list[dict[str, object]]:
    return [row for address in export_files.written(str(folder), kind) for row in pq.read_table(address).to_pylist()]


def names(folder: Path) -> list[str]:
    return [Path(address).stem for address in export_files.written(str(folder), export_files.EVENT_TABLE)]


def test_each_entry_is_exported_once(
    client: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 50)
    monkeypatch.setattr(module, "_READ", 20)
    stream_ids = [append(client, n, **({"event_id": f"e{n}"} if n % 2 else {"amount": f"{n / 8}"})) for n in range(120)]
    client.xadd(EVENTS, {"user_id": "incomplete"})
    impression = shown(client, 1)
    done = export(str(tmp_path), redis_url, show_progress=False)
    assert (done.events, done.impressions, done.malformed, len(done.files)) == (120, 1, 1, 4)
    rows = exported(tmp_path)
    assert [row["stream_id"].encode() for row in rows] == stream_ids
    assert rows[7] == {
        "user_id": "user-7",
        "item_id": "item-8",
        "event": "view",
        "timestamp": 10**12 + 7,
        "amount": None,
        "event_id": "e7",
        "recommendation_id": None,
        "stream_id": stream_ids[7].decode(),
    }
    assert (rows[8]["event_id"], rows[8]["amount"]) == (None, 1.0)
    [seen] = exported(tmp_path, export_files.IMPRESSION_TABLE)
    assert seen["items"] == [
        {"item_id": "item-1", "position": 0, "score": 0.5, "propensity": 0.25, "sources": ["new_items"]}
    ]
    assert (seen["user_id"], seen["item_rows"], seen["history_items"]) == (None, b"\0\xff", None)
    assert client.get(EXPORTED) == impression
    assert client.xlen(IMPRESSIONS) == 1
    again = export(str(tmp_path), redis_url, show_progress=False)
    assert (again.events, again.impressions, again.files) == (0, 0, [])
    last = append(client, 120)
    assert export(str(tmp_path), redis_url, show_progress=False).events == 1
    assert [row["stream_id"].encode() for row in exported(tmp_path)] == [*stream_ids, last]


@pytest.mark.parametrize("written", [True, False])
def test_an_unacknowledged_export_is_repeated_under_the_same_name(
    client: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    stream_ids = [append(client, n) for n in range(10)]
    write = export_files.write

    def fail(folder: str, kind: export_files.StreamTable, rows: list[dict[str, object]]) -> str:
        if written:
            write(folder, kind, rows)
        raise WinnowError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(export_files, "write", fail)
        with pytest.raises(WinnowError, match="the disk is gone"):
            export(str(tmp_path), redis_url, show_progress=False)
    assert client.xlen(EVENTS) == 10
    stream_ids.append(append(client, 10))
    assert export(str(tmp_path), redis_url, show_progress=False).events == 11
    assert [row["stream_id"].encode() for row in exported(tmp_path)] == stream_ids
    assert names(tmp_path) == [stream_ids[0].decode()]


@pytest.mark.slow
def test_a_repeatedly_killed_export_loses_and_repeats_nothing(client: Redis, redis_url: str, tmp_path: Path) -> None:
    code = (
        "import sys; from winnow.feedback import export as module;"
        "module.CHUNK, module._READ = 20, 7;"
        "print('begun', flush=True);"
        "[module.export(sys.argv[1], sys.argv[2], False) for _ in range(1000)]"
    )
    stream_ids: list[bytes] = []
    stop = threading.Event()

    def write() -> None:
        with Redis.from_url(redis_url) as own:
            while not stop.is_set():
                stream_ids.append(append(own, len(stream_ids)))
                time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for round_ in range(5):
            process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), redis_url], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            written, deadline = len(names(tmp_path)), time.monotonic() + 60
            while len(names(tmp_path)) < written + 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            # Killed at another point of its work each time.
            time.sleep(0.037 * round_)
            process.kill()
            process.wait()
            # The lease would expire after half a minute.
            client.delete(module.EXPORT_LOCK)
            process.stdout.close()
    finally:
        stop.set()
        writer.join()
    assert len(names(tmp_path)) > 5
    finished = subprocess.run([sys.executable, "-c", code.replace("1000", "1"), str(tmp_path), redis_url], check=False)
    assert finished.returncode == 0
    assert [row["stream_id"].encode() for row in exported(tmp_path)] == stream_ids
    assert client.xpending(EVENTS, "export")["pending"] == 0


def test_one_export_at_a_time(client: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_S", 0.2)
    append(client, 1)
    client.set(module.EXPORT_LOCK, "another export")
    with pytest.raises(WinnowError, match="another export of these streams is running"):
        export(str(tmp_path), redis_url, show_progress=False)
    assert exported(tmp_path) == []


def test_only_entries_that_every_group_acknowledged_are_trimmed(client: Redis, redis_url: str, tmp_path: Path) -> None:
    stream_ids = [append(client, n) for n in range(10)]
    client.xgroup_create(EVENTS, "r1", id="0")
    assert trim.trim(client).entries == 0
    client.xreadgroup("r1", "member", {EVENTS: ">"}, count=8)
    assert trim.trim(client).entries == 0
    client.xack(EVENTS, "r1", *stream_ids[:5], *stream_ids[6:8])
    assert export(str(tmp_path), redis_url, show_progress=False).trimmed == (5, [], 5)
    assert client.xrange(EVENTS, count=1)[0][0] == stream_ids[5]
    assert client.get(TRIMMED) == stream_ids[4]
    client.xack(EVENTS, "r1", stream_ids[5])
    stream_ids.append(append(client, 10))
    # Entries after the export stay, even if every group has applied them.
    client.xreadgroup("r1", "member", {EVENTS: ">"}, count=8)
    client.xack(EVENTS, "r1", *stream_ids[8:])
    assert trim.trim(client) == (5, [], 1)
    assert client.get(TRIMMED) == stream_ids[9]


def test_a_group_that_was_idle_for_a_week_does_not_delay_trimming(
    client: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        append(client, n)
    client.xgroup_create(EVENTS, "r1", id="0")
    client.xgroup_create(EVENTS, "r2", id="0")
    client.xreadgroup("r1", "member", {EVENTS: ">"}, count=2)
    assert export(str(tmp_path), redis_url, show_progress=False).trimmed == (0, [], 4)
    monkeypatch.setattr(trim, "SILENT_MS", 300)
    time.sleep(0.35)
    client.xgroup_createconsumer(EVENTS, "r2", "alive")
    assert trim.trim(client) == (0, ["r1"], 4)
    time.sleep(0.35)
    assert trim.trim(client) == (4, ["r1", "r2"], 0)


def test_events_trimmed_before_they_were_read_are_reported_and_rebuilt_from_the_exports(
    client: Redis,
    redis_url: str,
    published: Release,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("bloom_sidecar.group._BLOCK_MS", 1)
    monkeypatch.setattr("bloom_sidecar.consumer._MAINTENANCE_S", 0.0)
    number = published.manifest.number
    users = [f"user-{n}" for n in range(25)]

    def follow(name: str) -> Consumer:
        consumer = Consumer(client, published, name)
        consumer._join()
        while consumer.step():
            pass
        consumer._maintain()
        return consumer

    def dump() -> list[Any]:
        kept: list[Any] = []
        for user_id in users:
            seen, history, categories, shadow = watched(state_of(published), user_id)
            kept += [client.get(seen), client.lrange(history, 0, -1), client.get(categories)]
            kept.append(client.zrange(shadow, 0, -1, withscores=True))
        return kept

    for n in range(100):
        append(client, n)
    follow("one").group.leave()
    whole = dump()
    rebuild(published, redis_url, show_progress=False)
    assert dump() == whole
    # A later release finds the stream trimmed.
    assert export(str(tmp_path / "kept"), redis_url, show_progress=False).trimmed.entries == 100
    client.xgroup_destroy(EVENTS, Keys(number).group)
    for user_id in users:
        client.delete(*watched(state_of(published), user_id))
    append(client, 100)
    with caplog.at_level(logging.ERROR, "bloom_sidecar"):
        follow("two")
    assert "`winnow filters rebuild`" in caplog.text
    assert client.get(Keys(number).gap) == client.get(TRIMMED)
    assert REGISTRY.get_sample_value("winnow_sidecar_missed_events") == 1
    # Other consumers of the group, also later ones, report it too.
    caplog.clear()
    with caplog.at_level(logging.ERROR, "bloom_sidecar"):
        follow("three")
    assert "`winnow filters rebuild`" in caplog.text
    with pytest.raises(WinnowError, match=r"has them up to none: name the folder .* \(--exports\)"):
        rebuild(published, redis_url, show_progress=False, exports=str(tmp_path / "elsewhere"))
    assert rebuild(published, redis_url, show_progress=False, exports=str(tmp_path / "kept")) == (25, 101)
    follow("four")
    assert REGISTRY.get_sample_value("winnow_sidecar_missed_events") == 0
    mended = dump()
    assert mended[4:] == whole[4:]
    assert set(mended[1]) == {f"{10**12 + 100}|1|item-101".encode(), *whole[1]}


def test_exported_events_are_the_log_of_a_data_set(client: Redis, redis_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    for n in range(30):
        append(client, n, **({"event_id": f"e{n}"} if n < 10 else {}))
    export(str(folder), redis_url, show_progress=False)
    # Its file is one of an earlier version, which had no amounts.
    for address in export_files.written(str(folder), export_files.EVENT_TABLE):
        pq.write_table(pq.read_table(address).drop_columns(["amount"]), address)
    for n in range(30, 60):
        append(client, n, amount=f"{n / 4}")
    export(str(folder), redis_url, show_progress=False)
    (folder / "items.csv").write_text("item_id\n" + "\n".join(f"item-{n}" for n in range(1, 301)))
    (folder / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    dataset = ingest(str(folder), tmp_path / "dataset")
    assert dataset.events.num_rows == 60
    rows = sorted(dataset.events.to_pylist(), key=lambda row: row["timestamp"])
    assert [row["timestamp"] for row in rows] == [10**12 + n for n in range(60)]
    assert [row["amount"] for row in rows] == [None] * 30 + [n / 4 for n in range(30, 60)]
    read = [fields for _, fields in ExportedEvents(client, str(folder)).before(b"")]
    assert [fields.get(b"amount") for fields in read] == [None] * 30 + [f"{n / 4}".encode() for n in range(30, 60)]


def test_exports_go_to_s3_and_come_back(client: Redis, redis_url: str, aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="kept")
    stream_ids = [append(client, n) for n in range(5)]
    assert export("s3://kept/of/streams", redis_url, show_progress=False).files == [
        f"s3://kept/of/streams/events/{stream_ids[0].decode()}.parquet"
    ]
    assert client.xlen(EVENTS) == 0
    found = ExportedEvents(client, "s3://kept/of/streams")
    assert found.count() == 5
    assert [stream_id for stream_id, _ in found.before(b"")] == stream_ids
    assert [stream_id for stream_id, _ in found.before(stream_ids[2])] == stream_ids[:2]


def test_the_command_needs_redis_only_and_prints_a_summary(client: Redis, redis_url: str, tmp_path: Path) -> None:
    for n in range(3):
        append(client, n)
    shown(client, 1)
    environment = {**os.environ, "REDIS_URL": redis_url, "WINNOW_HOME": str(tmp_path)}
    command = [sys.executable, "-c", "from winnow.cli.app import app; app()", "events", "export"]
    printed = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) | {"files": []} == {
        "events": 3,
        "impressions": 1,
        "user_changes": 0,
        "changes": 0,
        "malformed": 0,
        "files": [],
        "trimmed": {"entries": 3, "silent": [], "left": 0},
    }
    assert len(exported(tmp_path / "events")) == 3
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"exported 0 events and 0 impressions to {tmp_path / 'events'}" in printed
    # An unreachable Redis is named.
    environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr[:29]) == (1, "winnow: Redis does not answer")
