"""Checks of single values over whole columns, with the rules and messages of the endpoint."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from winnow import fields
from winnow.datasets.canonical.report import Problem
from winnow.moments import Implausible

NO_VALUE = "no value; fill it in or remove the row"
NEGATIVE_AMOUNT = "a negative amount; leave unknown amounts empty"


class Fault(NamedTuple):
    """A check of a column, and its result.

    Attributes:
        column: name of the column.
        what: the problem and the remedy.
        wrong: a mask of the failing rows; null counts as passing.
        values: the values to show examples of.
    """

    column: str
    what: str
    wrong: pa.ChunkedArray
    values: pa.ChunkedArray

    def problem(self, file: str) -> Problem | None:
        """The problem for the report; ``None`` where no row fails."""
        bad = self.values.filter(self.wrong)
        if not len(bad):
            return None
        examples = [value for value in bad.unique()[:3].to_pylist() if value not in (None, "")]
        return Problem(file, self.column, self.what, len(bad), tuple(examples))


def missing(column: str, values: pa.ChunkedArray) -> Fault:
    """Nulls and empty strings."""
    null = pc.is_null(values)
    if pa.types.is_string(values.type):
        null = pc.or_kleene(null, pc.equal(values, ""))
    return Fault(column, NO_VALUE, null, values)


def lost(column: str, values: pa.ChunkedArray, given: pa.ChunkedArray, expected: str, absent: str) -> Fault:
    """Values that cannot be read.

    Args:
        column: name of the column.
        values: the values as they were read, null where they could not be.
        given: the same values as the source writes them.
        expected: what was expected, in words.
        absent: a regular expression of the text that stands for no value.
    """
    null = pc.and_(pc.is_null(values), pc.is_valid(given))
    if pa.types.is_string(given.type):
        null = pc.and_(null, pc.invert(pc.match_substring_regex(given, absent)))
    return Fault(column, f"expected {expected}; the column's type is {given.type}", null, given)


def no_ids(column: str, values: pa.ChunkedArray) -> Iterator[Fault]:
    """Strings that are not ids; :func:`missing` finds the empty ones."""
    long = pc.greater(pc.utf8_length(values), fields.LONGEST_IDENTIFIER)
    yield Fault(column, f"must be {fields.LENGTH}", long, values)
    control = pc.match_substring_regex(values, fields.CONTROL)
    yield Fault(column, f"must be {fields.PLAIN}", control, values)


def implausible(
    column: str, moment: pa.ChunkedArray, given: pa.ChunkedArray, spans: Iterable[Implausible]
) -> Iterator[Fault]:
    """Moments in refused spans.

    Args:
        column: name of the column.
        moment: int64 milliseconds since the epoch.
        given: the same moments as the source writes them.
        spans: the refused spans.
    """
    for after, until, words in spans:
        wrong = pc.greater(moment, after)
        if until is not None:
            wrong = pc.and_(wrong, pc.less_equal(moment, until))
        yield Fault(column, f"must be {words}", wrong, given)
