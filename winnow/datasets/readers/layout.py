"""Which files of a folder or an S3 prefix are the tables of a data set.

The table ``events`` is ``events.parquet`` or ``events.csv``, and all files with these endings anywhere in ``events/``
(or in a folder ``events.csv/``, as Spark writes). Impressions and changes of users are Parquet alone, and changes of
the catalog the Parquet files of an export in ``catalog/``. Hidden and temporary files (``_SUCCESS``,
``.part-0.csv.crc``) are ignored.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from winnow.datasets.canonical.report import Problem, data_error
from winnow.errors import DataError

TABLES = ("items", "users", "events", "impressions", "user_changes")
ENDINGS = (".parquet", ".csv")

_EXPORTED = ("impressions", "user_changes")
"""Tables that `winnow events export` alone writes."""

_CHANGES = re.compile(r"catalog/\d+-\d+\.parquet")
"""Files of `winnow events export`: the changes of the catalog. Other files in the folder are media, or not ours."""

_HIDDEN = (".", "_")
_TEMPORARY = ("~", ".tmp", ".crc", ".partial")
_NAMED = 3


@dataclass(frozen=True)
class Layout:
    """The files of a data set's tables.

    Attributes:
        files: table -> its files, in reading order.
        notes: decisions that the user should know.
    """

    files: dict[str, list[str]]
    notes: list[str]


def layout_of(names: Iterable[str], source: str) -> Layout:
    """Find the tables among file names.

    Args:
        names: paths relative to the data set, with ``/`` between folders.
        source: name of the data set in the report.

    Raises:
        DataError: the files of a table are ambiguous, or the items or the events are missing.
    """
    names = sorted(name for name in names if not _ignored(name))
    files: dict[str, list[str]] = {}
    notes: list[str] = []
    problems: list[Problem] = []
    for table in TABLES:
        endings = ENDINGS[:1] if table in _EXPORTED else ENDINGS
        folders = {table, *(table + ending for ending in endings)}
        inside = [name for name in names if "/" in name and name.partition("/")[0] in folders]
        beside = [name for name in names if "/" not in name and name.partition(".")[0].casefold() == table]
        single = [name for name in beside if name in {table + ending for ending in endings}]
        several = [name for name in inside if name.endswith(endings)]
        others = [name for name in inside if name not in several]
        if others and table in _EXPORTED:
            notes.append(f"{table}/: only .parquet files are read, not {_list(others)}")
        elif others and (several or not single):
            what = f"only .parquet and .csv files are read, and {_list(others)} is neither; convert or remove it"
            problems.append(Problem(f"{table}/", None, what))
        notes += [f"{name} is not read" for name in beside if name not in single]
        twice = [
            stem for stem, count in Counter(name.rpartition(".")[0] for name in single + several).items() if count > 1
        ]
        problems += [
            Problem(f"{stem}.*", None, f"there is {stem}.parquet and {stem}.csv: keep the one to read, or rename one")
            for stem in twice
        ]
        if single and several:
            notes.append(f"{table}: read from {single[0]} and the {len(several)} in {table}/ together")
        if single or several:
            files[table] = single + several
    if changes := [name for name in names if _CHANGES.fullmatch(name)]:
        files["catalog"] = changes
    if problems:
        raise data_error(source, problems)
    for needed in ("items", "events"):
        if needed not in files:
            looked = ", ".join([*(needed + ending for ending in ENDINGS), f"{needed}/ with such files"])
            found = f" {'; '.join(notes)}." if notes else ""
            raise DataError(f"{source} has no {needed} table. Looked for {looked}.{found} Put one of them there.")
    return Layout(files, notes)


def concerns(name: str) -> bool:
    """Whether a file may belong to a table, by its path relative to the data set."""
    return bool(_CHANGES.fullmatch(name)) or name.partition("/")[0].partition(".")[0].casefold() in TABLES


def _ignored(name: str) -> bool:
    return name.endswith(_TEMPORARY) or any(part.startswith(_HIDDEN) for part in name.split("/"))


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
