"""Erase users from exports: the files of `winnow events export` are written again without their rows.

The ledger says who: rows of every user that was ever erased are removed, with entries up to the moment of each, also of
those whom a call of the endpoint erased from Redis alone.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from redis.exceptions import LockError, RedisError

from winnow import files
from winnow.erasures.digest import digest
from winnow.erasures.ledger import Ledger
from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, TABLES, UNTIL
from winnow.store import keys
from winnow.store.connection import Client
from winnow.store.keys import EXPORT_LOCK

_UNLOGGED_MS = 60_000
_LOCK_S = 60.0
"""Expiry of the lock, in seconds, which every file renews."""


class ErasedExports(NamedTuple):
    """What was done to the files of an export.

    Attributes:
        files: number of files searched.
        rewritten: number of files that were written again.
        rows: number of rows that were removed.
        found: number of rows of erased users that a last search found; 0.
    """

    files: int
    rewritten: int
    rows: int
    found: int


def erase_from_exports(client: Client, folder: str, progress: Callable[[str], None] = lambda _: None) -> ErasedExports:
    """Remove the rows of erased users from all files of an export, in a folder or on S3; each changes in one step.

    No export runs meanwhile. Removing them again is safe, and completes what was interrupted.

    Args:
        client: blocking connection to the Redis of the export.
        folder: where `winnow events export` writes.
        progress: called with the address of each file.

    Raises:
        WinnowError: an export is running, or a file cannot be read or written.
        RedisError: Redis does not answer.
    """
    lock = client.lock(EXPORT_LOCK, timeout=_LOCK_S)
    if not lock.acquire(blocking=True, blocking_timeout=_LOCK_S + 1):
        raise WinnowError("an export of these streams is running: wait until it has ended, and erase again")
    ledger = Ledger.read(client)
    searched = rewritten = rows = 0
    try:
        for table in TABLES:
            for address in export_files.written(folder, table):
                progress(address)
                lock.reacquire()
                searched += 1
                whole, wrong = _of_erased(address, ledger)
                count = pc.sum(wrong).as_py() or 0
                if not count:
                    continue
                if table is EVENT_TABLE:
                    _forget_event_ids(client, whole.filter(wrong))
                _write(address, whole, wrong)
                rewritten += 1
                rows += count
        found = 0
        for table in TABLES:
            for address in export_files.written(folder, table):
                lock.reacquire()
                found += pc.sum(_of_erased(address, ledger)[1]).as_py() or 0
    except LockError as error:
        raise WinnowError("the files took longer than the lock: erase again, which continues") from error
    finally:
        with suppress(RedisError):
            lock.release()
    return ErasedExports(searched, rewritten, rows, found)


def _of_erased(address: str, ledger: Ledger) -> tuple[pa.Table, pa.ChunkedArray]:
    """A file's rows, and which of them are erased users'."""
    try:
        with pq.ParquetFile(io.BytesIO(files.read(address))) as parquet:
            whole = parquet.read()
    except pa.ArrowInvalid as error:
        raise WinnowError(f"{address} is not a whole Parquet file: {error}") from error
    moments = pc.cast(pc.list_element(pc.split_pattern(whole["stream_id"], "-"), 0), pa.int64())
    # Answers that were computed before an erasure may have entered the stream a moment later; a newcomer's did not.
    late = _UNLOGGED_MS if "items" in whole.column_names else 0
    wrong = pa.chunked_array([pa.array([False] * whole.num_rows, pa.bool_())])
    for column in (whole[name] for name in ("user_id", "into") if name in whole.column_names):
        names = pc.unique(column).drop_null().to_pylist()
        until = {name: ledger.erased[found] for name in names if (found := digest(name)) in ledger.erased}
        ends = pa.array([moment + late for moment in until.values()], pa.int64())
        end = pc.take(ends, pc.index_in(column, pa.array(list(until), pa.string())))
        wrong = pc.or_(wrong, pc.fill_null(pc.less_equal(moments, end), False))
    return whole, wrong


def _write(address: str, whole: pa.Table, wrong: pa.ChunkedArray) -> None:
    metadata = whole.schema.metadata or {}
    until = metadata.get(UNTIL) or whole["stream_id"][-1].as_py().encode()
    kept = whole.filter(pc.invert(wrong)).replace_schema_metadata(metadata | {UNTIL: until})
    content = io.BytesIO()
    pq.write_table(kept, content, compression="zstd")
    files.write(address, content.getvalue())


def _forget_event_ids(client: Client, theirs: pa.Table) -> None:
    """Delete the record of the events' ids, which Redis has for an hour."""
    for given in theirs["event_id"].drop_null().to_pylist():
        client.delete(keys.event_id(given))
