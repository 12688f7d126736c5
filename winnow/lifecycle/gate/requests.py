"""The requests that the gate replays: the newest logged ones, or sampled users where none was logged."""

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from winnow import files
from winnow.feedback import export_files
from winnow.feedback.impressions import PLAIN
from winnow.feedback.streams import newest_impressions
from winnow.local.readiness import REQUEST_ID
from winnow.release import Release
from winnow.request import MAX_K
from winnow.store.connection import connect

NEW_USER = "winnow-gate"
"""Id of a user without events, among sampled users."""

_LENGTHS = range(1, MAX_K + 1)
"""The lengths of a list that a request may ask for."""

_SAMPLED_LENGTH = 10


class LoggedRequest(NamedTuple):
    """A request, as far as impressions tell it: they have neither its query nor its filters.

    Attributes:
        user_id: the user.
        k: length of the list.
    """

    user_id: str
    k: int


def logged(exports: str, count: int, redis_url: str | None = None) -> list[LoggedRequest]:
    """The newest logged requests for a user: those of the impression stream, then those that were exported.

    Args:
        exports: folder of the exports, local or ``s3://``; it may be missing.
        count: largest number of requests.
        redis_url: address of the Redis with the stream; without it, only exports are read.

    Raises:
        WinnowError: Redis does not answer, or a file cannot be read.
    """
    return list(islice(_newest(exports, redis_url), count))


def sampled(release: Release, count: int) -> list[LoggedRequest]:
    """Users with a history, drawn with a fixed seed, and one without, who is the first."""
    active = np.flatnonzero(np.diff(release.array("offsets")) > 0)
    drawn = np.random.default_rng(0).permutation(active)[: count - 1]
    names = release.array("user_ids")[np.sort(drawn)].tolist()
    return [LoggedRequest(name, _SAMPLED_LENGTH) for name in [NEW_USER, *names]]


def _newest(exports: str, redis_url: str | None) -> Iterator[LoggedRequest]:
    table = export_files.IMPRESSION_TABLE
    if redis_url is not None:
        with connect(redis_url) as client:
            for entry in newest_impressions(client):
                row = table.row(entry)
                yield from () if row is None else _request(row)
    for address in reversed(export_files.written(exports, table)):
        with pq.ParquetFile(io.BytesIO(files.read(address))) as parquet:
            # Files of earlier versions have no column form, which ParquetFile.read then leaves out.
            read = parquet.read(columns=["request_id", "user_id", "items", "form"])
        for row in reversed(read.to_pylist()):
            yield from _request(row)


def _request(row: Mapping[str, Any]) -> Iterator[LoggedRequest]:
    """The request of an impression, unless it had no user, no items, another form, or came from a starting stack."""
    plain = row.get("form") in (None, PLAIN)
    if plain and row["user_id"] and len(row["items"]) in _LENGTHS and row["request_id"] != REQUEST_ID:
        yield LoggedRequest(row["user_id"], len(row["items"]))
