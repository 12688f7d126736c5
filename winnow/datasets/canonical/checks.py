"""The checks of single values, over whole columns: the same rules, in the same words, that the endpoint has."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from winnow import fields
from winnow.datasets.canonical.report import Problem
from winnow.moments import Implausible

NO_VALUE = "no value; fill it in or remove the row"


class Fault(NamedTuple):
    """Something that is wrong with values of a column.

    Attributes:
        column: its name.
        what: what is wrong and what to do about it.
        wrong: a mask over the rows; a null is not wrong.
        values: what to show examples of.
    """

    column: str
    what: str
    wrong: pa.ChunkedArray
    values: pa.ChunkedArray

    def problem(self, file: str) -> Problem | None:
        """The problem, if it holds anywhere."""
        bad = self.values.filter(self.wrong)
        if not len(bad):
            return None
        examples = [value for value in bad.unique()[:3].to_pylist() if value not in (None, "")]
        return Problem(file, self.column, self.what, len(bad), tuple(examples))


def missing(column: str, values: pa.ChunkedArray) -> Fault:
    """Nulls and empty texts."""
    null = pc.is_null(values)
    if pa.types.is_string(values.type):
        null = pc.or_kleene(null, pc.equal(values, ""))
    return Fault(column, NO_VALUE, null, values)


def no_ids(column: str, values: pa.ChunkedArray) -> Iterator[Fault]:
    """Texts that are no ids; an empty one is :func:`missing`."""
    long = pc.greater(pc.utf8_length(values), fields.LONGEST_IDENTIFIER)
    yield Fault(column, f"must be {fields.LENGTH}", long, values)
    control = pc.match_substring_regex(values, fields.CONTROL)
    yield Fault(column, f"must be {fields.PLAIN}", control, values)


def implausible(
    column: str, moment: pa.ChunkedArray, given: pa.ChunkedArray, spans: Iterable[Implausible]
) -> Iterator[Fault]:
    """Moments that cannot be.

    Args:
        column: its name.
        moment: int64 milliseconds since the epoch.
        given: as they were written.
        spans: what is refused.
    """
    for after, until, words in spans:
        wrong = pc.greater(moment, after)
        if until is not None:
            wrong = pc.and_(wrong, pc.less_equal(moment, until))
        yield Fault(column, f"must be {words}", wrong, given)
