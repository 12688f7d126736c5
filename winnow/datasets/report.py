"""The validation report: every problem at once, each with its file, column, count and examples."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from winnow.errors import DataError


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
        shown = f", for example {', '.join(repr(value) for value in self.examples)}" if self.examples else ""
        return f"{place}: {self.what}{rows}{shown}"


def data_error(name: str, problems: Iterable[Problem]) -> DataError:
    """The error that carries the whole report."""
    lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, start=1)]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return DataError("\n".join([f"The data set {name} cannot be used: {count}. Nothing was written.", *lines]))
