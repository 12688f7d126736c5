"""Export events, impressions and changes of users and items to Parquet: each once, even if an export is killed.

The export is a consumer group of its own. It writes a chunk of entries as one file and acknowledges them afterwards.
Entries that were read but not acknowledged are read again first; their file is named after the first entry and so
replaces an earlier one. A lock in Redis admits one export at a time.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, cast

from redis.exceptions import LockError, RedisError, ResponseError
from tqdm import tqdm

from winnow.catalog.change import MEDIA
from winnow.catalog.prune import prune
from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.feedback.change_files import CHANGE_TABLE
from winnow.feedback.export_files import TABLES, StreamTable
from winnow.feedback.trim import TrimResult, trim
from winnow.store.connection import Client, connect
from winnow.store.events import Entry
from winnow.store.keys import CHANGED_MEDIA, CHANGES, EXPORT_GROUP, EXPORT_LOCK, EXPORTED, IMPRESSIONS
from winnow.users import changes as user_changes

CHUNK = 50_000
"""Maximum entries per file: about 2 MB for events; about 100 MB of memory for impressions."""

_READ = 500
"""Entries per read: a longer response would delay other clients of Redis."""

_LOCK_S = 30.0
"""Expiry of the lock, in seconds; every read renews it, so it is released this long after a killed export."""

_MEMBER = "export"

_TABLES = (*TABLES, CHANGE_TABLE)
"""In the order of :class:`ExportResult`."""


class ExportResult(NamedTuple):
    """The result of an export.

    Attributes:
        events: number of events written.
        impressions: number of impressions written.
        user_changes: number of user changes written.
        changes: number of changes of the catalog written.
        malformed: number of invalid entries of all streams, which were skipped.
        files: addresses of the written files.
        trimmed: result of the trim of the event stream that followed.
    """

    events: int
    impressions: int
    user_changes: int
    changes: int
    malformed: int
    files: list[str]
    trimmed: TrimResult


def export(folder: str, redis_url: str, show_progress: bool) -> ExportResult:
    """Write the new entries of all streams to ``folder``, then trim those of events and changes.

    Args:
        folder: a local folder, or ``s3://bucket/prefix``; always the same one for the same Redis.
        redis_url: address of Redis.
        show_progress: show a progress bar.

    Raises:
        WinnowError: Redis does not answer, the folder cannot be written, or another export is running.
    """
    with connect(redis_url) as client:
        lock = client.lock(EXPORT_LOCK, timeout=_LOCK_S)
        # The lock of a killed export expires within this time.
        if not lock.acquire(blocking=True, blocking_timeout=_LOCK_S + 1):
            raise WinnowError("another export of these streams is running: wait until it has ended")
        try:
            for table in _TABLES:
                _join(client, table.stream)
            done = [_export(client, lock, folder, table, show_progress) for table in _TABLES]
            user_changes.trim(client)
            prune(client)
            events, impressions, of_users, of_items = (count for count, _, _ in done)
            paths = [path for _, found, _ in done for path in found]
            malformed = sum(count for _, _, count in done)
            return ExportResult(events, impressions, of_users, of_items, malformed, paths, trim(client))
        except LockError as error:
            raise WinnowError(
                "the export stalled until its lock expired, and another may have started: run it again"
            ) from error
        except RedisError as error:
            raise WinnowError(f"Redis failed during the export: run it again, nothing is lost ({error})") from error
        finally:
            with suppress(RedisError):
                lock.release()


def _export(
    client: Client, lock: Any, folder: str, table: StreamTable, show_progress: bool
) -> tuple[int, list[str], int]:
    written, files, malformed = 0, [], 0
    total = int(client.xlen(table.stream))
    with tqdm(desc=f"export {table.folder}", unit="entry", disable=not show_progress) as bar:
        for chunk in _chunks(client, lock, table.stream):
            rows = [row for row in map(table.row, chunk) if row is not None]
            if rows:
                lock.reacquire()
                files.append(export_files.write(folder, table, rows))
            last = chunk[-1][0]
            pipe = client.pipeline(transaction=True)
            pipe.xack(table.stream, EXPORT_GROUP, *(stream_id for stream_id, _ in chunk))
            if table.stream == IMPRESSIONS:
                pipe.set(EXPORTED, last)
            if table.stream == CHANGES:
                # No release reads this stream: what they have not derived is in the overlays.
                pipe.xtrim(CHANGES, minid=_after(last), approximate=False)
                pipe.decrby(CHANGED_MEDIA, sum(len(f.get(m.encode(), b"")) for _, f in chunk for m in MEDIA if f))
            pipe.execute()
            written += len(rows)
            malformed += len(chunk) - len(rows)
            bar.total = max(total, bar.n + len(chunk))
            bar.update(len(chunk))
        bar.total = bar.n
    return written, files, malformed


def _after(stream_id: bytes) -> str:
    milliseconds, _, sequence = stream_id.decode().partition("-")
    return f"{milliseconds}-{int(sequence) + 1}"


def _join(client: Client, stream: str) -> None:
    """Create the consumer group at the beginning of the stream, unless it exists."""
    try:
        client.xgroup_create(stream, EXPORT_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _chunks(client: Client, lock: Any, stream: str) -> Iterator[list[Entry]]:
    """Yield entries in chunks of one file: starting with entries that an earlier export left unacknowledged."""
    after = b"0"
    while True:
        chunk: list[Entry] = []
        while len(chunk) < CHUNK:
            lock.reacquire()
            # redis-py's return type covers all response formats; for bytes and one stream it is this one.
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
            # The end of the stream; entries that arrived since are left for the next export.
            return
