"""What every benchmark reports: rows of a measure, its value, and whether it holds its target."""

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
        measure: what was measured.
        value: the figure.
        unit: its unit, such as ``ms`` or ``x`` for a ratio.
        target: ``<= 3`` or ``>= 0.9``, or empty where the figure is there to be read.
        holds: whether the value meets the target; null without one.
    """

    measure: str
    value: float
    unit: str
    target: str = ""
    holds: bool | None = None


def row(measure: str, value: float, unit: str, target: str = "") -> Row:
    """A row, judged by its target."""
    holds = None
    if target:
        matched = re.fullmatch(r"(<=|>=) (\S+)", target)
        if matched is None:
            raise ValueError(f"a target reads '<= 3' or '>= 0.9', not {target!r}")
        holds = bool(_COMPARE[matched[1]](value, float(matched[2])))
    return Row(measure, round(value, 4), unit, target, holds)


def render(rows: list[Row], as_json: bool) -> None:
    """Print rows for a person, or as a JSON list."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))  # noqa: T201
        return
    table = Table("measure", "value", "unit", "target", "holds")
    for entry in rows:
        holds = {True: "yes", False: "[red]NO[/red]", None: ""}[entry.holds]
        table.add_row(entry.measure, f"{entry.value:g}", entry.unit, entry.target, holds)
    Console().print(table)
