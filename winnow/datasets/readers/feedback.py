"""Feedback columns of a RecBole log: which rows are events, and of which type.

The rule is the same for every data set:

- ``rating``, ``stars`` or ``star`` is a scale: its whole steps (half ones rounded up) become the types ``rated_1`` …
  ``rated_5`` of weight 1 … 5, and the upper two fifths are the conversions.
- ``label``, ``click``, ``like``, ``purchase``, ``weight``, ``count`` and similar columns are flags or counts: a row
  above zero is one event of the type ``interaction``.
- Rows of zero and below are not positive events in any column: they are left out.
- Without a feedback column every row is an ``interaction``.

Two feedback columns are refused, and so is a single unknown column of numbers or flags: a wrong guess would train the
models on the opposite of what users did.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from winnow.datasets.canonical.report import Problem, data_error

SCALES = ("rating", "stars", "star")
AMOUNTS = (
    *("label", "click", "is_click", "clicked", "like", "is_like", "liked", "purchase", "is_purchase", "buy", "is_buy"),
    *("weight", "count", "play_count", "num_plays"),
)

_INTERACTION = "interaction"
_MOST_LEVELS = 100
_YES_AND_NO = {"0", "1", "-1", "true", "false", "yes", "no"}


@dataclass(frozen=True)
class Feedback:
    """The interpretation of a log.

    Attributes:
        kind: event type of every kept row; null where its feedback is null.
        keep: mask of the rows that are events.
        weights: event type -> weight.
        note: the applied rule, for the user.
    """

    kind: pa.ChunkedArray
    keep: pa.ChunkedArray
    weights: dict[str, float]
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
        return Feedback(_always(every), every, {_INTERACTION: 1.0}, note)
    keep = pc.fill_null(pc.greater(values, 0), True)
    left_out = len(values) - (pc.sum(keep).as_py() or 0)
    if left_out == len(values) > 0:
        raise data_error(source, [Problem(file, name, "no row is above zero, so there is no positive event")])
    if name.lower() in SCALES:
        kind, weights = _levels(name, values.filter(keep), source, file)
        rule = f"{name} is read as rated_1 … rated_{len(weights)}, of weight 1 … {len(weights)}"
    else:
        kind, weights = _always(pc.greater(values.filter(keep), 0)), {_INTERACTION: 1.0}
        rule = f"{name} above zero is read as an event of the type {_INTERACTION}"
    without = f"; {left_out:,} of {len(values):,} rows are zero or below and no events" if left_out else ""
    return Feedback(kind, keep, weights, f"{file}: {rule}{without}")


def _is_flag(values: pa.ChunkedArray) -> bool:
    return {value.lower() for value in values.drop_null().unique().to_pylist()} <= _YES_AND_NO


def _levels(name: str, values: pa.ChunkedArray, source: str, file: str) -> tuple[pa.ChunkedArray, dict[str, float]]:
    level = pc.cast(pc.ceil(values), pa.int64())
    highest = pc.max(level).as_py() or 1
    if highest > _MOST_LEVELS:
        what = f"{highest} steps are too many for a rating scale (at most {_MOST_LEVELS}); rescale or remove the column"
        raise data_error(source, [Problem(file, name, what)])
    kind = pc.binary_join_element_wise("rated", pc.cast(level, pa.string()), "_")
    return kind, {f"rated_{step}": float(step) for step in range(1, highest + 1)}


def _always(given: pa.ChunkedArray) -> pa.ChunkedArray:
    """The type ``interaction``, and null where the feedback is null."""
    return pc.if_else(given, _INTERACTION, pa.scalar(None, pa.string()))
