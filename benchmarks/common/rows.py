"""The report of a benchmark: rows with a measure, its value, its target, and whether the value meets it."""

import json
import operator
import re
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

_COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        measure: its description.
        value: the figure.
        unit: such as ``ms``, or ``x`` for a ratio.
        target: ``<= 3`` or ``>= 0.9``; empty without one.
        holds: whether the value meets the target; ``None`` without one.
    """

    measure: str
    value: float
    unit: str
    target: str = ""
    holds: bool | None = None


def row(measure: str, value: float, unit: str, target: str = "") -> Row:
    """Make a row and compare its value with its target."""
    holds = None
    if target:
        matched = re.fullmatch(r"(<=|>=) (\S+)", target)
        if matched is None:
            raise ValueError(f"a target reads '<= 3' or '>= 0.9', not {target!r}")
        holds = bool(_COMPARE[matched[1]](value, float(matched[2])))
    return Row(measure, round(value, 4), unit, target, holds)


def render(rows: list[Row], as_json: bool) -> None:
    """Print rows as a table, or as a JSON list."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))  # noqa: T201
        return
    table = Table("measure", "value", "unit", "target", "holds")
    for entry in rows:
        holds = {True: "yes", False: "[red]NO[/red]", None: ""}[entry.holds]
        table.add_row(entry.measure, f"{entry.value:g}", entry.unit, entry.target, holds)
    Console().print(table)
