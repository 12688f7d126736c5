"""Feedback columns of a RecBole log: which rows are events, and of which type.

The rule is the same for every data set:

- ``rating``, ``stars`` or ``star`` is a scale: its whole steps (half ones rounded up) become the types ``rated_1`` …
  ``rated_5``. It has two sides: the lower two fifths of the steps have negative values and the upper two fifths are the
  conversions. Of five steps the values are -1.5, -0.5, 0.5, 1.5 and 2.5.
- ``label``, ``click``, ``like``, ``purchase``, ``weight``, ``count`` and similar columns are flags or counts: a row
  above zero is one event of the type ``interaction``.
- Rows of zero and below are no events in any column: they are left out.
- Without a feedback column every row is an ``interaction``.

Two feedback columns are refused, and so is a single unknown column of numbers or flags: a wrong guess would train the
models on the opposite of what users did. A ``dataset.yaml`` beside the log overrides the values
(:mod:`winnow.datasets.readers.overrides`).
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from winnow.datasets.canonical.report import Problem, data_error
from winnow.schema import MOST_TYPES

SCALES = ("rating", "stars", "star")
AMOUNTS = (
    *("label", "click", "is_click", "clicked", "like", "is_like", "liked", "purchase", "is_purchase", "buy", "is_buy"),
    *("weight", "count", "play_count", "num_plays"),
)

_INTERACTION = "interaction"
_YES_AND_NO = {"0", "1", "-1", "true", "false", "yes", "no"}


@dataclass(frozen=True)
class Feedback:
    """The interpretation of a log.

    Attributes:
        kind: event type of every kept row; null where its feedback is null.
        keep: mask of the rows that are events.
        values: event type -> value.
        conversions: event types that count as success.
        note: the applied rule, for the user.
    """

    kind: pa.ChunkedArray
    keep: pa.ChunkedArray
    values: dict[str, float]
    conversions: tuple[str, ...]
    note: str


def choose(table: pa.Table, types: dict[str, str], taken: set[str], source: str, file: str) -> str | None:
    """Find the feedback column of a log; ``None`` where it has none.

    Args:
        table: the log, all values as text.
        types: column -> atomic type.
        taken: columns with another meaning: ids and the timestamp.
        source: name of the data set in the report.
        file: name of the file in the report.

    Raises:
        DataError: the log has several feedback columns, or only unknown columns of numbers or flags.
    """
    known = [name for name in types if name.lower() in SCALES + AMOUNTS and name not in taken]
    if len(known) > 1:
        what = f"{' and '.join(known)} are all feedback columns; keep the one to learn from and remove the others"
        raise data_error(source, [Problem(file, None, what)])
    unknown = [
        name
        for name, kind in types.items()
        if name not in {*taken, *known} and (kind == "float" or (kind == "token" and _is_flag(table[name])))
    ]
    if unknown and not known:
        what = (
            "unknown column of numbers or flags: name it rating:float if it is a scale, label:float if zero means no, "
            "or remove it if it is not feedback"
        )
        raise data_error(source, [Problem(file, name, what) for name in unknown])
    return known[0] if known else None


def interpret(name: str | None, values: pa.ChunkedArray, source: str, file: str) -> Feedback:
    """Interpret the feedback column.

    Args:
        name: the column; ``None`` where the log has none.
        values: its numbers; any column of the log where it has none.
        source: name of the data set in the report.
        file: name of the file in the report.

    Raises:
        DataError: no row is a positive event, or a scale has too many steps.
    """
    if name is None:
        note = f"{file}: there is no feedback column, so every row is an event of the type {_INTERACTION}"
        every = pa.chunked_array([pa.array([True] * len(values), pa.bool_())])
        return Feedback(_always(every), every, {_INTERACTION: 1.0}, (_INTERACTION,), note)
    keep = pc.fill_null(pc.greater(values, 0), True)
    left_out = len(values) - (pc.sum(keep).as_py() or 0)
    if left_out == len(values) > 0:
        raise data_error(source, [Problem(file, name, "no row is above zero, so there is no positive event")])
    if name.lower() in SCALES:
        kind, of_types = _levels(name, values.filter(keep), source, file)
        steps, negative = list(of_types.items()), sum(value < 0 for value in of_types.values())
        # The upper two fifths, in integers.
        conversions = tuple(of_types)[3 * len(steps) // 5 :]
        rule = (
            f"{name} is read as rated_1 … {steps[-1][0]}, of value {steps[0][1]:g} … {steps[-1][1]:g}: "
            + (f"up to {steps[negative - 1][0]} dislikes, " if negative else "")
            + f"from {conversions[0]} conversions"
        )
    else:
        kind, of_types = _always(pc.greater(values.filter(keep), 0)), {_INTERACTION: 1.0}
        conversions = (_INTERACTION,)
        rule = f"{name} above zero is read as an event of the type {_INTERACTION}"
    without = f"; {left_out:,} of {len(values):,} rows are zero or below and no events" if left_out else ""
    return Feedback(kind, keep, of_types, conversions, f"{file}: {rule}{without}")


def _is_flag(values: pa.ChunkedArray) -> bool:
    return {value.lower() for value in values.drop_null().unique().to_pylist()} <= _YES_AND_NO


def _levels(name: str, values: pa.ChunkedArray, source: str, file: str) -> tuple[pa.ChunkedArray, dict[str, float]]:
    level = pc.cast(pc.ceil(values), pa.int64())
    highest = pc.max(level).as_py() or 1
    if highest > MOST_TYPES:
        what = f"{highest} steps are too many for a rating scale (at most {MOST_TYPES}); rescale or remove the column"
        raise data_error(source, [Problem(file, name, what)])
    kind = pc.binary_join_element_wise("rated", pc.cast(level, pa.string()), "_")
    middle = 2 * highest // 5 + 0.5
    return kind, {f"rated_{step}": step - middle for step in range(1, highest + 1)}


def _always(given: pa.ChunkedArray) -> pa.ChunkedArray:
    """The type ``interaction``, and null where the feedback is null."""
    return pc.if_else(given, _INTERACTION, pa.scalar(None, pa.string()))
