"""Conversion of a source's tables to canonical columns, file by file, for sources of every kind."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from winnow.datasets.canonical import columns, headers
from winnow.datasets.canonical.columns import Kind
from winnow.datasets.canonical.raw import RawFile, RawTable
from winnow.datasets.canonical.report import Problem
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.datasets.canonical.types import normalised


@dataclass(frozen=True)
class TableContract:
    """The columns of one table.

    Attributes:
        kinds: column -> kind, the canonical ones and then the declared ones.
        required: column -> why it is required.
        lenient: columns of moments and numbers whose unreadable values become null and not a problem.
    """

    kinds: Mapping[str, Kind]
    required: Mapping[str, str]
    lenient: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        canonical: Mapping[str, Kind],
        required: Iterable[str],
        declared: DeclaredColumns,
        lenient: Iterable[str] = (),
    ) -> "TableContract":
        """A contract of canonical columns, some of them required, and declared columns, all required."""
        choices: dict[str, Kind] = dict.fromkeys(declared.categorical, "choice")
        numbers: dict[str, Kind] = dict.fromkeys(declared.numeric, "number")
        why = dict.fromkeys(required, "required") | dict.fromkeys(declared.names, "declared in dataset.yaml")
        return cls({**canonical, **choices, **numbers}, why, frozenset(lenient))


@dataclass
class ConvertedFile:
    """A file in canonical columns.

    Attributes:
        table: the readable columns; a column of nulls alone may have the type null.
        given: the same columns before conversion.
        problems: the unreadable columns.
        notes: decisions that the user should know.
    """

    table: pa.Table
    given: dict[str, pa.ChunkedArray]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert_file(part: RawFile, contract: TableContract) -> ConvertedFile:
    """Match a file's headings with the contract and convert its columns."""
    headings = part.table.column_names
    matched = headers.match(headings, contract.kinds)
    read: dict[str, pa.ChunkedArray] = {}
    result = ConvertedFile(part.table, {}, notes=list(matched.notes()))
    for name, found in matched.several.items():
        what = f"{len(found)} columns could be it ({', '.join(map(repr, found))}); keep one, or rename the others"
        result.problems.append(Problem(part.file, name, what))
    for name, kind in contract.kinds.items():
        if name in matched.places:
            found = normalised(part.table.select([matched.places[name]])).column(0)
            wrong = _undecodable(part.file, name, found)
            if not wrong:
                result.given[name] = found
                values = _converted(found, kind, lenient=name in contract.lenient)
                wrong = _unreadable(part.file, name, found, kind) if values is None else None
                if values is not None:
                    read[name] = values
            result.problems += [wrong] if wrong else []
        elif name in matched.several:
            continue
        elif name in contract.required:
            shown = ", ".join(heading.strip() for heading in headings) or "none"
            what = f"the column is missing and is {contract.required[name]}; the columns are {shown}"
            result.problems.append(Problem(part.file, name, what))
        else:
            read[name] = pa.chunked_array([pa.nulls(part.table.num_rows)])
    result.table = pa.table(read)
    return result


def together(found: RawTable, parts: Iterable[pa.Table], contract: TableContract) -> tuple[pa.Table, list[Problem]]:
    """Concatenate the files of a table; columns that are unreadable in one of them are left out."""
    tables = list(parts)
    complete = [name for name in contract.kinds if all(name in table.column_names for table in tables)]
    read, problems = {}, []
    for name in complete:
        kinds = {str(table[name].type): table[name].type for table in tables if not pa.types.is_null(table[name].type)}
        if len(kinds) > 1:
            what = f"its files differ: one has {' and another '.join(kinds)}; write them with one type"
            problems.append(Problem(found.file, name, what))
            continue
        to = next(iter(kinds.values()), columns.absent(0, contract.kinds[name]).type)
        read[name] = pa.chunked_array([chunk for table in tables for chunk in table[name].cast(to).chunks], to)
    return pa.table(read), problems


def read_table(found: RawTable, contract: TableContract) -> tuple[pa.Table, list[Problem], list[str]]:
    """A table in canonical columns, its problems, and its notes for the user."""
    parts = [convert_file(part, contract) for part in found.parts]
    table, differing = together(found, (part.table for part in parts), contract)
    problems = [problem for part in parts for problem in part.problems] + differing
    if not any(part.table.num_rows for part in found.parts):
        problems.append(empty(found))
    return table, problems, list(notes(found, parts))


def empty(found: RawTable) -> Problem:
    """The problem of a table without rows."""
    return Problem(found.file, None, "the table is empty; it needs at least one row")


def notes(found: RawTable, parts: Iterable[ConvertedFile]) -> Iterator[str]:
    """The notes of a table's files, each once."""
    yield from dict.fromkeys(f"{found.file}: {note}" for part in parts for note in part.notes)


def _converted(found: pa.ChunkedArray, kind: Kind, lenient: bool) -> pa.ChunkedArray | None:
    """The canonical values; ``None`` where they cannot be read."""
    if pa.types.is_null(found.type):
        return found
    try:
        if lenient:
            return columns.read_moments(found) if kind == "moment" else columns.read_numbers(found)
        values = columns.convert(found, kind)
    except (ValueError, pa.ArrowException):
        return None
    # CSV cannot distinguish an empty string from null, so other formats do not either.
    empty = kind in ("text", "choice") and pa.types.is_string(values.type)
    return pc.if_else(pc.equal(values, ""), None, values) if empty else values


def _unreadable(file: str, name: str, found: pa.ChunkedArray, kind: Kind) -> Problem:
    count, examples = columns.unreadable(found, kind)
    what = f"expected {columns.IN_WORDS[kind]}; the column's type is {found.type}"
    return Problem(file, name, what, count, tuple(examples))


def _undecodable(file: str, name: str, found: pa.ChunkedArray) -> Problem | None:
    """The problem of a Parquet file whose strings are not UTF-8: readers do not check them."""
    try:
        found.validate(full=True)
    except pa.ArrowInvalid as error:
        return Problem(file, name, f"holds text that is not UTF-8 ({error}); write it again")
    return None
