"""The validation report: every problem at once, each with its file, column, count and examples."""

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
    """One thing that is wrong with a data set.

    Attributes:
        file: the file, as the person knows it.
        column: the column, or None when the table as a whole is meant.
        what: what is wrong and what to do about it.
        count: how many rows are concerned; 0 when the table as a whole is.
        examples: up to three offending values.
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
    """The error that carries the whole report, and a remark at its end."""
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
    """While a file is read.

    Args:
        source: the data set, as the report names it.
        file: the file, as the report names it.

    Raises:
        DataError: instead of whatever the operating system, a decoder or Arrow raised.
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
