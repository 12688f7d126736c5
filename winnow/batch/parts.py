"""The parts of a batch: Parquet files, each whole or absent."""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from winnow import files
from winnow.batch.messages import UserAnswer
from winnow.batch.users import COLUMN
from winnow.errors import WinnowError

SCHEMA = pa.schema(
    [
        (COLUMN, pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("degraded", pa.list_(pa.string())),
        ("release", pa.int32()),
        ("computed_at", pa.timestamp("ms", tz="UTC")),
    ]
)
"""The columns of a part. ``degraded`` is empty for a complete answer."""

_NAME = re.compile(r"part-(\d{5,})\.parquet")


class Written(NamedTuple):
    """What a part holds.

    Attributes:
        users: number of rows.
        degraded: rows whose answer was degraded.
    """

    users: int
    degraded: int


def address_of(output: str, number: int) -> str:
    """The address of a part."""
    return files.inside(output, f"part-{number:05d}.parquet")


def present(output: str) -> list[int]:
    """The numbers of the parts in a folder, ascending.

    Raises:
        WinnowError: the folder cannot be read.
    """
    names = (address.rpartition("/")[2] for address in files.listed(output, ".parquet"))
    return sorted(int(found[1]) for found in map(_NAME.fullmatch, names) if found)


def write(output: str, number: int, release: int, user_ids: Sequence[str], answers: Sequence[UserAnswer]) -> Written:
    """Write a part in one step.

    Args:
        output: folder of the batch.
        number: of the part.
        release: number of the release.
        user_ids: the users.
        answers: the answer to each.

    Raises:
        WinnowError: it cannot be written.
    """
    columns: dict[str, Sequence[Any]] = {COLUMN: user_ids, "release": [release] * len(user_ids)}
    columns |= {name: [getattr(answer, name) for answer in answers] for name in UserAnswer._fields}
    content = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), content, compression="zstd")
    files.write(address_of(output, number), content.getvalue())
    return Written(len(answers), sum(bool(answer.degraded) for answer in answers))


def look(output: str, number: int) -> Written:
    """What a part holds.

    Raises:
        WinnowError: it cannot be read.
    """
    address = address_of(output, number)
    try:
        degraded = pq.read_table(io.BytesIO(files.read(address)), columns=["degraded"])["degraded"].to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise WinnowError(
            f"{address} is not a part of a batch ({error}): remove it, and run the batch again"
        ) from error
    return Written(len(degraded), sum(map(bool, degraded)))
