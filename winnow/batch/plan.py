"""The plan of a batch: its settings, and the list of its users, divided into parts.

Both are files of the output, written before any part, so that an interrupted batch continues with exactly the users
that it began with. The plan is written last: there is a batch where it is.
"""

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from winnow import files
from winnow.batch.users import COLUMN
from winnow.errors import WinnowError

PLAN = "_batch.json"
USERS = "_users"
"""A Parquet file. It has no ending, so that ``*.parquet`` are the parts."""

PART_USERS = 2000
"""Users of a part, of which an interrupted batch repeats as many as are in work: some 2 MB with 50 items each."""

ALL = "all"

_LIST = pa.schema([(COLUMN, pa.string())])


class Settings(BaseModel):
    """What the content of a batch depends on.

    Attributes:
        release: number of the release.
        digest: its digest.
        k: items per user.
        where: a condition on the items; empty for none.
        users: ``all``, or the SHA-256 of the file that lists them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int
    digest: str
    k: int
    where: str
    users: str

    def differences(self, other: "Settings") -> str:
        """What differs, in words; empty where nothing does."""
        mine, others = self._shown(), other._shown()
        different = (name for name in mine if mine[name] != others[name])
        return ", ".join(f"{name} {others[name]}, not {mine[name]}" for name in different)

    def _shown(self) -> dict[str, str]:
        return {
            "release": f"{self.release} ({self.digest[:12]})",
            "k": str(self.k),
            "where": repr(self.where),
            "users": self.users if self.users == ALL else f"of the file {self.users[:12]}",
        }


class Plan(BaseModel):
    """The plan.

    Attributes:
        settings: what the content depends on.
        listed: number of users.
        part_users: users of each part but the last.
        created_at: when the list was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Settings
    listed: int
    part_users: int
    created_at: datetime

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.listed // self.part_users)


class UserList:
    """The users of a batch, in memory compressed as in the file.

    Args:
        output: folder of the batch.

    Raises:
        WinnowError: the list cannot be read.
    """

    def __init__(self, output: str) -> None:
        self._output = output

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(io.BytesIO(files.read(files.inside(self._output, USERS))))

    def of_part(self, number: int) -> list[str]:
        """The users of a part."""
        names: list[str] = self._file.read_row_group(number)[COLUMN].to_pylist()
        return names


def read(output: str) -> Plan | None:
    """The plan of the batch in a folder; ``None`` without one.

    Raises:
        WinnowError: it cannot be read.
    """
    address = files.inside(output, PLAN)
    try:
        return Plan.model_validate_json(files.read(address))
    except files.FileMissing:
        return None
    except ValidationError as error:
        raise WinnowError(f"{address} is not the plan of a batch: name another folder, or remove that one") from error


def begin(output: str, settings: Settings, users: Iterable[list[str]]) -> Plan:
    """Write the list and the plan of a new batch.

    Args:
        output: folder of the batch, local or ``s3://``.
        settings: its settings.
        users: its users in steps, each once.

    Raises:
        WinnowError: there are no users, the folder has parts of something else, or it cannot be written.
    """
    if files.listed(output, ".parquet"):
        raise WinnowError(f"{output} has Parquet files, but no {PLAN}: name an empty folder for the batch")
    listed, waiting, content = 0, list[str](), io.BytesIO()
    with pq.ParquetWriter(content, _LIST, compression="zstd") as writer:
        for step in users:
            waiting += step
            while len(waiting) >= PART_USERS:
                writer.write_table(_table(waiting[:PART_USERS]))
                listed += PART_USERS
                del waiting[:PART_USERS]
        if waiting:
            writer.write_table(_table(waiting))
            listed += len(waiting)
    if not listed:
        raise WinnowError("there are no users to recommend for: all of them are erased or merged")
    plan = Plan(settings=settings, listed=listed, part_users=PART_USERS, created_at=datetime.now(UTC))
    files.write(files.inside(output, USERS), content.getvalue())
    files.write(files.inside(output, PLAN), plan.model_dump_json(indent=1).encode())
    return plan


def _table(names: list[str]) -> pa.Table:
    return pa.table({COLUMN: names}, schema=_LIST)
