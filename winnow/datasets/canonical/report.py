"""The validation report: all problems at once, each with file, column, count and examples."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.errors import DataError

_LONGEST = 80


@dataclass(frozen=True)
class Problem:
    """A problem of a data set.

    Attributes:
        file: name of the file.
        column: name of the column; ``None`` for a problem of the whole table.
        what: the problem and the remedy.
        count: number of rows with the problem; 0 for a problem of the whole table.
        examples: up to three of the values.
    """

    file: str
    column: str | None
    what: str
    count: int = 0
    examples: tuple[Any, ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}, column {self.column}" if self.column else self.file
        rows = f" ({self.count:,} row{'s' if self.count != 1 else ''})" if self.count else ""
        shown = f", for example {', '.join(map(_short, self.examples))}" if self.examples else ""
        return f"{place}: {self.what}{rows}{shown}"


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def data_error(name: str, problems: Iterable[Problem], remark: str | None = None) -> DataError:
    """An error with the whole report, and a remark at its end."""
    lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, start=1)]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return DataError(
        "\n".join(
            [
                f"The data set {name} cannot be used: {count}. Nothing was written.",
                *lines,
                *([remark] if remark else []),
            ]
        )
    )


@contextmanager
def reading(source: str, file: str) -> Iterator[None]:
    """Turn errors of the operating system, the decoder and Arrow into a report while a file is read.

    Args:
        source: name of the data set in the report.
        file: name of the file in the report.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        yield
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}; correct the place or its permissions"
    except UnicodeDecodeError as error:
        what = f"cannot be read: it is not UTF-8 at byte {error.start}; convert it with iconv"
    except (pa.ArrowException, csv.Error) as error:
        what = f"cannot be read; write it again: {str(error).partition(chr(10))[0]}"
    else:
        return
    raise data_error(source, [Problem(file, None, what)])
