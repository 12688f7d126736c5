"""Export the streams of events and impressions to Parquet, each entry exactly once, whatever dies in between.

Entries are read as a consumer group of its own. A chunk of them is written as one file, and only then acknowledged;
what was read and not acknowledged is read again first, begins with the same entry, and so replaces the file that was or
was not written. One export at a time holds a lock.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, cast

from redis.exceptions import LockError, RedisError, ResponseError
from tqdm import tqdm

from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE, StreamTable
from winnow.feedback.trim import Trimmed, trim
from winnow.store.connection import Client, connect
from winnow.store.events import Entry
from winnow.store.keys import EVENTS, EXPORT_GROUP, EXPORTED, IMPRESSIONS

CHUNK = 50_000
"""Entries of one file at most: some 2 MB of events; 100 MB of memory for impressions."""

_READ = 500
"""Entries of one read: Redis must not keep requests waiting for a long answer."""

_LOCK_S = 30.0
"""How soon after its death an export's lock is free again; it is renewed with every read."""

_MEMBER = "export"
_LOCK = "{events}:export"


class Exported(NamedTuple):
    """What an export did.

    Attributes:
        events: events written.
        impressions: impressions written.
        malformed: entries of either stream that are neither, and were left out.
        files: what was written.
        trimmed: what was then trimmed from the stream of events.
    """

    events: int
    impressions: int
    malformed: int
    files: list[str]
    trimmed: Trimmed


def export(folder: str, redis_url: str, show_progress: bool) -> Exported:
    """Write what is new in both streams to ``folder``, then make room in the stream of events.

    Args:
        folder: a local folder, or ``s3://bucket/prefix``; always the same one for the same Redis.
        redis_url: where the streams are.
        show_progress: draw a progress bar.

    Raises:
        WinnowError: Redis does not answer, the folder cannot be written, or another export is at work.
    """
    with connect(redis_url) as client:
        lock = client.lock(_LOCK, timeout=_LOCK_S)
        # One that died left its lock behind for as long.
        if not lock.acquire(blocking=True, blocking_timeout=_LOCK_S + 1):
            raise WinnowError("another export of these streams is at work: wait for it")
        try:
            _join(client, EVENTS)
            _join(client, IMPRESSIONS)
            events, event_files, wrong = _export(client, lock, folder, EVENT_TABLE, show_progress)
            shown, shown_files, malformed = _export(client, lock, folder, IMPRESSION_TABLE, show_progress)
            return Exported(events, shown, wrong + malformed, event_files + shown_files, trim(client))
        except LockError as error:
            raise WinnowError("this export was held up so long that another may have begun: start it again") from error
        except RedisError as error:
            raise WinnowError(f"Redis failed during the export: start it again, nothing is lost ({error})") from error
        finally:
            with suppress(RedisError):
                lock.release()


def _export(
    client: Client, lock: Any, folder: str, kind: StreamTable, show_progress: bool
) -> tuple[int, list[str], int]:
    written, files, malformed = 0, [], 0
    total = int(client.xlen(kind.stream))
    with tqdm(desc=f"export {kind.stream}", unit="entry", disable=not show_progress) as bar:
        for chunk in _chunks(client, lock, kind.stream):
            rows = [row for row in map(kind.row, chunk) if row is not None]
            if rows:
                lock.reacquire()
                files.append(export_files.write(folder, kind, rows))
            last = chunk[-1][0]
            pipe = client.pipeline(transaction=True)
            pipe.xack(kind.stream, EXPORT_GROUP, *(stream_id for stream_id, _ in chunk))
            if kind.stream == IMPRESSIONS:
                pipe.set(EXPORTED, last)
            pipe.execute()
            written += len(rows)
            malformed += len(chunk) - len(rows)
            bar.total = max(total, bar.n + len(chunk))
            bar.update(len(chunk))
        bar.total = bar.n
    return written, files, malformed


def _join(client: Client, stream: str) -> None:
    """Make the group where it is missing, from the stream's beginning."""
    try:
        client.xgroup_create(stream, EXPORT_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _chunks(client: Client, lock: Any, stream: str) -> Iterator[list[Entry]]:
    """What was read before and not acknowledged, then what is new, a file's worth at a time."""
    after = b"0"
    while True:
        chunk: list[Entry] = []
        while len(chunk) < CHUNK:
            lock.reacquire()
            # The client's types cover every dialect of its protocol; with bytes and one stream the answer is this.
            answered = cast(
                "list[tuple[bytes, list[Entry]]]",
                client.xreadgroup(EXPORT_GROUP, _MEMBER, {stream: after}, count=min(_READ, CHUNK - len(chunk))),
            )
            entries = answered[0][1] if answered else []
            chunk += entries
            if entries and after != b">":
                after = entries[-1][0]
            elif after != b">":
                after = b">"
            elif not entries:
                break
        if not chunk:
            return
        yield chunk
        if len(chunk) < CHUNK:
            # The end of the stream; what has come since is for the next export.
            return
