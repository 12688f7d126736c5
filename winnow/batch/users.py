"""The users of a batch: all that a release and Redis know, or those of a file."""

import io
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from winnow import files
from winnow.erasures.ledger import Ledger
from winnow.errors import WinnowError
from winnow.fields import identifier_fault
from winnow.release import Release
from winnow.request import quote
from winnow.store.bulk import send
from winnow.store.connection import Client
from winnow.store.keys import Keys
from winnow.store.shared_state import state_of

COLUMN = "user_id"

_STEP = 10_000
"""Users that are looked at together."""

_SCANNED = 1000


class Present:
    """Leaves out users that are gone: erased or merged, and unknown to Redis since.

    Args:
        client: connection to Redis that returns bytes.
        release: the release.

    Raises:
        RedisError: Redis does not answer.
    """

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self._ledger = Ledger.read(client)
        self._state, self._keys = state_of(release), Keys(release.manifest.number)

    def mask(self, user_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Which users are not gone: bool [n].

        Raises:
            RedisError: Redis does not answer.
        """
        present = ~self._ledger.gone(user_ids, known_ms=-1)
        gone = np.flatnonzero(~present)
        if len(gone):
            # Whoever came back after an erasure has keys again.
            names = [user_ids[place] for place in gone.tolist()]
            commands = [("EXISTS", self._state.history(name), self._keys.user_row(name)) for name in names]
            present[gone] = [bool(count) for count in send(self._client, commands)]
        return present


def of_release(release: Release, client: Client) -> Iterator[list[str]]:
    """All users in steps: those of the release in its order, then those that only Redis knows, sorted.

    Memory grows by 8 bytes per user of the release, and by the ids of the others.

    Raises:
        RedisError: Redis does not answer.
    """
    present = Present(client, release)
    known = release.array("user_ids")
    marks = np.empty(len(known), np.uint64)
    for start in range(0, len(known), _STEP):
        names: list[str] = known[start : start + _STEP].tolist()
        marks[start : start + len(names)] = _marks(names)
        kept = present.mask(names)
        yield [name for name, keep in zip(names, kept.tolist(), strict=True) if keep]
    marks.sort()
    others = _since(release, client, marks)
    for start in range(0, len(others), _STEP):
        names = others[start : start + _STEP]
        kept = present.mask(names)
        yield [name for name, keep in zip(names, kept.tolist(), strict=True) if keep]


def of_file(address: str, release: Release, client: Client) -> Iterator[list[str]]:
    """The users of a file in steps, in its order and each once.

    Args:
        address: a local file or an ``s3://`` address: Parquet (``.parquet``) or CSV (``.csv``) with a column
            ``user_id``, or a text file with an id per line.
        release: the release.
        client: connection to Redis that returns bytes.

    Raises:
        WinnowError: the file cannot be read, has no such column or no users, or an id breaks the rules of ids; the
            message names the row.
        RedisError: Redis does not answer.
    """
    present = Present(client, release)
    column = _read(address)
    if not len(column):
        raise WinnowError(f"{address} has no users")
    _check(column, address)
    distinct = column.unique()
    for start in range(0, len(distinct), _STEP):
        names = distinct.slice(start, _STEP).to_pylist()
        kept = present.mask(names)
        yield [name for name, keep in zip(names, kept.tolist(), strict=True) if keep]


def _marks(names: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of a digest of each id."""
    return np.frombuffer(b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names), "<u8")


def _since(release: Release, client: Client, marks: NDArray[np.uint64]) -> list[str]:
    """The users whose history or row is in Redis, but who are not in the release."""
    state, number = state_of(release).name, release.manifest.number
    forms = [(f"{state}:{{u:".encode(), b"}:history"), (f"r{number}:{{u:".encode(), b"}:row")]
    found: set[str] = set()
    names: list[str] = []
    for key in client.scan_iter(match="*{u:*", count=_SCANNED):
        for before, after in forms:
            if key.startswith(before) and key.endswith(after):
                names.append(key[len(before) : -len(after)].decode())
        if len(names) >= _STEP:
            found |= _unknown(names, marks)
            names = []
    return sorted(found | _unknown(names, marks))


def _unknown(names: Sequence[str], marks: NDArray[np.uint64]) -> set[str]:
    """Those that are not among the sorted ``marks``."""
    if not len(marks) or not names:
        return set(names)
    wanted = _marks(names)
    known = marks.take(np.searchsorted(marks, wanted), mode="clip") == wanted
    return {name for name, is_known in zip(names, known.tolist(), strict=True) if not is_known}


def _read(address: str) -> pa.ChunkedArray:
    """The ids as text."""
    content = files.read(address)
    try:
        if address.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(content), columns=[COLUMN])
        elif address.endswith(".csv"):
            options = pa_csv.ConvertOptions(column_types={COLUMN: pa.string()}, include_columns=[COLUMN])
            table = pa_csv.read_csv(io.BytesIO(content), convert_options=options)
        else:
            # Not splitlines(), which also splits at characters that an id may contain.
            lines = (line.rstrip("\r") for line in content.decode("utf-8-sig").split("\n"))
            return pa.chunked_array([pa.array([line for line in lines if line], pa.string())])
        return table[COLUMN].cast(pa.string())
    except (pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        raise WinnowError(
            f"{address} cannot be read: {error}. It must be Parquet (.parquet) or CSV (.csv) with a column {COLUMN}, "
            "or a text file with an id per line"
        ) from error


def _check(column: pa.ChunkedArray, address: str) -> None:
    """Check every id; rows are counted from 1."""
    for place, name in enumerate(column.to_pylist()):
        fault = "a string" if name is None else identifier_fault(name)
        if fault:
            raise WinnowError(f"{address}, row {place + 1}: {COLUMN} must be {fault}, got {quote(name)}")
