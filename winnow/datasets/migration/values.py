"""Values of exports: ids, moments, numbers and lists, as a data set has them."""

import math
import re
from typing import Any

from winnow import fields, moments
from winnow.datasets.migration.source import BadRow

_GO_ZONE = re.compile(r" ([+-]\d{4}) [A-Z]{1,5}$")
_GO_NEVER = "0001-01-01"


def identifier(value: Any, column: str) -> str:
    """An id.

    Raises:
        BadRow: it is none.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or (fault := fields.identifier_fault(text)):
        raise BadRow(f"column {column}: must be {fields.LENGTH if not isinstance(text, str) else fault}")
    return text


def seconds(value: Any, column: str) -> int:
    """Milliseconds of a moment in seconds.

    Raises:
        BadRow: it is no number, or no plausible number of seconds.
    """
    number = real(value)
    if number is None or not 0 < number < 10**11:
        raise BadRow(f"column {column}: must be seconds since the epoch")
    return int(number * 1000)


def moment(value: Any, column: str) -> int | None:
    """Milliseconds of a date and time, as Go and JSON write it; `None` for Go's zero time and without a value.

    Raises:
        BadRow: it is none.
    """
    if value in (None, "") or str(value).startswith(_GO_NEVER):
        return None
    try:
        return moments.parse(_GO_ZONE.sub(r"\1", str(value)))
    except ValueError:
        raise BadRow(f"column {column}: must be a date and time") from None


def real(value: Any) -> float | None:
    """A finite number; `None` for anything else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def amount(value: Any) -> float | None:
    """A number of at least 0; `None` for anything else."""
    number = real(value)
    return number if number is not None and number >= 0 else None


def words(value: Any) -> list[str] | None:
    """The parts of a list, or of a text that separates them by ``|``; `None` for anything else, and for none."""
    parts = value.split("|") if isinstance(value, str) else value if isinstance(value, list) else []
    if not all(isinstance(part, str) for part in parts):
        return None
    return [part.strip() for part in parts if part.strip()] or None
