"""What the columns of a RecBole log say about liking: which rows are events, and of which type.

The rule, the same for every data set:

- ``rating``, ``stars`` or ``star`` is a scale: its whole steps (half ones rounded up) become the types ``rated_1`` …
  ``rated_5`` of weight 1 … 5, and the upper two fifths are the conversions.
- ``label``, ``click``, ``like``, ``purchase``, ``weight``, ``count`` and the like say whether, or how often: a row
  above zero is one event of the type ``interaction``.
- Zero and below is no positive event: such rows are left out, whatever the column.
- Without any of these every row is an ``interaction``.

Two such columns, or an unknown one of numbers or of yes and no where there is none of these, are refused: a guess would
teach the models the opposite of what people did.
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
    """How a log is read.

    Attributes:
        kind: the event type of every row that is left; null where the row does not say.
        keep: which rows are events, a mask.
        weights: event type -> weight.
        note: the rule that was followed, for the person to know.
    """

    kind: pa.ChunkedArray
    keep: pa.ChunkedArray
    weights: dict[str, float]
    note: str


def choose(table: pa.Table, types: dict[str, str], taken: set[str], source: str, file: str) -> str | None:
    """The feedback column of a log; None where it has none.

    Args:
        table: the log, every value as text.
        types: column -> atomic type.
        taken: columns that are something else: ids and the timestamp.
        source: the data set, as the report names it.
        file: the file, as the report names it.

    Raises:
        DataError: it has several, or none but a column of numbers, or of yes and no, that nothing is known of.
    """
    known = [name for name in types if name.lower() in SCALES + AMOUNTS and name not in taken]
    if len(known) > 1:
        what = f"{' and '.join(known)} all say what was liked; keep the one to learn from and take the others away"
        raise data_error(source, [Problem(file, None, what)])
    unknown = [
        name
        for name, kind in types.items()
        if name not in {*taken, *known} and (kind == "float" or (kind == "token" and _says_yes_or_no(table[name])))
    ]
    if unknown and not known:
        what = (
            "nothing is known of this column of numbers: head it rating:float if it is a scale, label:float if zero "
            "means no, or take it away if it says nothing of what was liked"
        )
        raise data_error(source, [Problem(file, name, what) for name in unknown])
    return known[0] if known else None


def interpret(name: str | None, values: pa.ChunkedArray, source: str, file: str) -> Feedback:
    """Read the feedback column.

    Args:
        name: the column; None where the log has none.
        values: its numbers, or any column of the log where it has none.
        source: the data set, as the report names it.
        file: the file, as the report names it.

    Raises:
        DataError: no row is a positive event, or a scale has too many steps.
    """
    if name is None:
        note = f"{file}: no column says what was liked, so every row is an event of the type {_INTERACTION}"
        every = pa.chunked_array([pa.array([True] * len(values), pa.bool_())])
        return Feedback(_always(every), every, {_INTERACTION: 1.0}, note)
    keep = pc.fill_null(pc.greater(values, 0), True)
    left_out = len(values) - (pc.sum(keep).as_py() or 0)
    if left_out == len(values) > 0:
        raise data_error(source, [Problem(file, name, "no row is above zero, so there is no positive event")])
    if name.lower() in SCALES:
        kind, weights = _levels(name, values.filter(keep), source, file)
        said = f"{name} is read as rated_1 … rated_{len(weights)}, of weight 1 … {len(weights)}"
    else:
        kind, weights = _always(pc.greater(values.filter(keep), 0)), {_INTERACTION: 1.0}
        said = f"{name} above zero is read as an event of the type {_INTERACTION}"
    without = f"; {left_out:,} of {len(values):,} rows are zero or below and no events" if left_out else ""
    return Feedback(kind, keep, weights, f"{file}: {said}{without}")


def _says_yes_or_no(values: pa.ChunkedArray) -> bool:
    return {value.lower() for value in values.drop_null().unique().to_pylist()} <= _YES_AND_NO


def _levels(name: str, values: pa.ChunkedArray, source: str, file: str) -> tuple[pa.ChunkedArray, dict[str, float]]:
    level = pc.cast(pc.ceil(values), pa.int64())
    highest = pc.max(level).as_py() or 1
    if highest > _MOST_LEVELS:
        what = f"{highest} whole steps are no rating scale (at most {_MOST_LEVELS}); rescale the column or take it away"
        raise data_error(source, [Problem(file, name, what)])
    kind = pc.binary_join_element_wise("rated", pc.cast(level, pa.string()), "_")
    return kind, {f"rated_{step}": float(step) for step in range(1, highest + 1)}


def _always(said: pa.ChunkedArray) -> pa.ChunkedArray:
    """The one type, and null where a row says nothing."""
    return pc.if_else(said, _INTERACTION, pa.scalar(None, pa.string()))
