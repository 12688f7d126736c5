"""The events since a moment: counted over exports and stream, each once, and without reading what need not be read."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from redis import Redis

from tests.support.redis_fixtures import own_redis
from winnow.feedback import export as exporting
from winnow.feedback import export_files
from winnow.feedback.export import export
from winnow.feedback.since import NewEvents, Taken, new_events
from winnow.files import inside
from winnow.store.keys import EVENTS, Keys

MOMENT = 1_700_000_000_000


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: every event of the stream counts."""
    with own_redis(tmp_path) as url:
        yield url


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connected:
        yield connected


def append(client: Redis, *moments: int) -> None:
    for sequence, moment in enumerate(moments):
        fields = {"user_id": "u", "item_id": f"i{moment - MOMENT}", "event": "view", "timestamp": moment}
        client.xadd(EVENTS, fields, f"{moment}-{sequence}")


def reads(client: Redis) -> int:
    commands = client.info("commandstats")
    return sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrange", "xrevrange"))


def test_a_stream_is_counted_from_the_moment_on(client: Redis, tmp_path: Path) -> None:
    assert new_events(MOMENT, client, str(tmp_path), 10) == NewEvents(0, [])
    append(client, MOMENT - 2, MOMENT - 1)
    assert new_events(MOMENT, client, str(tmp_path), 10) == NewEvents(0, [])
    append(client, MOMENT, MOMENT, MOMENT + 1)
    client.xadd(EVENTS, {"user_id": "without an item"}, f"{MOMENT + 2}-0")
    newest = [Taken(b"i1", "view"), Taken(b"i0", "view"), Taken(b"i0", "view")]
    assert new_events(MOMENT, client, str(tmp_path), 10) == NewEvents(4, newest)
    assert new_events(MOMENT, client, str(tmp_path), 2) == NewEvents(4, newest[:2])
    before = reads(client)
    assert new_events(MOMENT - 2, client, str(tmp_path), 0) == NewEvents(6, [])
    assert reads(client) == before  # the whole stream is new: its length is the number


def test_exported_events_count_once_whether_trimmed_or_not(
    client: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "CHUNK", 4)
    folder = str(tmp_path / "events")
    # A release whose sidecar runs, but has not read anything yet, keeps its events in the stream.
    client.xgroup_create(EVENTS, Keys(1).group, id="0", mkstream=True)
    client.xgroup_createconsumer(EVENTS, Keys(1).group, "sidecar")
    append(client, *range(MOMENT - 5, MOMENT + 5))
    export(folder, redis_url, show_progress=False)
    assert (client.xlen(EVENTS), len(export_files.written(folder, export_files.EVENT_TABLE))) == (10, 3)
    assert new_events(MOMENT, client, folder, 0) == NewEvents(5, [])
    append(client, *range(MOMENT + 5, MOMENT + 8))
    assert new_events(MOMENT, client, folder, 0) == NewEvents(8, [])
    found = new_events(MOMENT, client, folder, 5)
    assert found is not None
    assert [taken.item_id for taken in found.newest] == [b"i7", b"i6", b"i5", b"i4", b"i3"]
    # A moment that the exports do not reach, in the midst of the stream.
    assert new_events(MOMENT + 6, client, folder, 5) == NewEvents(2, [Taken(b"i7", "view"), Taken(b"i6", "view")])
    client.xtrim(EVENTS, minid=f"{MOMENT + 3}-0", approximate=False)
    assert client.xlen(EVENTS) == 5
    assert new_events(MOMENT, client, folder, 0) == NewEvents(8, [])
    assert new_events(MOMENT, None, folder, 0) == NewEvents(5, [])


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_exports_alone_are_counted_by_their_metadata(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder = str(tmp_path)
    if place == "s3":
        request.getfixturevalue("aws")
        boto3.client("s3").create_bucket(Bucket="exports")
        folder = "s3://exports/data"
    assert new_events(MOMENT, None, folder, 10) is None
    for first in (MOMENT - 150, MOMENT - 50, MOMENT + 50):
        rows = [
            {"user_id": "u", "item_id": f"i{n}", "event": "view", "timestamp": n, "stream_id": f"{n}-0"}
            for n in range(first, first + 100)
        ]
        export_files.write(folder, export_files.EVENT_TABLE, rows)
    found = new_events(MOMENT, None, folder, 120)
    assert found is not None
    assert (found.total, len(found.newest)) == (150, 120)
    assert found.newest[0].item_id == f"i{MOMENT + 149}".encode()
    # The footer is read again where it is longer than what is read at first.
    monkeypatch.setattr(export_files, "_FOOTER", 100)
    assert export_files.count(inside(folder, "events", f"{MOMENT + 50}-0.parquet")) == 100
