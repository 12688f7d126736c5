"""Field types that requests and data files share: identifiers, moments, weights and the size limit of media.

The text of a rule completes "must be …", so that requests and files get the same error message.
"""

import re
import time
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from winnow import moments
from winnow.schema import LARGEST_VALUE

LONGEST_IDENTIFIER = 256
"""Characters (code points) of a user's, an item's or an event's id."""

LENGTH = f"a string of 1 to {LONGEST_IDENTIFIER} characters"
PLAIN = "free of control characters"

WEIGHT = f"a number between -{LARGEST_VALUE:g} and {LARGEST_VALUE:g}"

CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""Unicode's control characters (Cc), as Python's ``re`` and RE2 both read it."""

_CONTROL = re.compile(CONTROL)

MAX_MEDIA_BYTES = 4 * 2**20
"""Size limit of an encoded image or sound, in a catalog and in a request."""

FAULT = "fault"
"""Type of the pydantic errors whose message completes "must be …"."""

_AHEAD_MS = 60_000
"""Tolerance for senders whose clock is ahead."""

V = TypeVar("V")


def identifier_fault(text: str) -> str | None:
    """The rule for identifiers that ``text`` breaks, in words; ``None`` where it breaks none."""
    if not 1 <= len(text) <= LONGEST_IDENTIFIER:
        return LENGTH
    return PLAIN if _CONTROL.search(text) else None


def event_fault(moment: int) -> str | None:
    """The rule for the timestamp of an event that ``moment`` breaks, in words; ``None`` where it breaks none."""
    return moments.fault(moment, moments.implausible_events(time.time_ns() // 1_000_000, _AHEAD_MS))


def is_weight(value: object) -> bool:
    """Whether ``value`` can be the weight of an event type: between plus and minus ``LARGEST_VALUE``."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_VALUE


def _identifier(text: str) -> str:
    return _without(text, identifier_fault(text))


def _written(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return moments.parse(value)
    except ValueError:
        raise PydanticCustomError(FAULT, moments.IN_WORDS) from None


def _happened(moment: int) -> int:
    return _without(moment, event_fault(moment))


def _created(moment: int) -> int:
    return _without(moment, moments.fault(moment, moments.IMPLAUSIBLE_CREATION))


def _weight(value: object) -> object:
    return _without(value, None if is_weight(value) else WEIGHT)


def _without(value: V, fault: str | None) -> V:
    if fault:
        raise PydanticCustomError(FAULT, fault)
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_IDENTIFIER)]
"""A text of at most an identifier's length."""

Identifier = Annotated[Name, AfterValidator(_identifier)]
"""A user's, an item's or an event's id; :func:`identifier_fault` has the rules."""

_MOMENT = WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})

Happened = Annotated[int, BeforeValidator(_written), AfterValidator(_happened), _MOMENT]
"""When an event happened, milliseconds since the epoch; :mod:`winnow.moments` lists the text formats."""

Created = Annotated[int, BeforeValidator(_written), AfterValidator(_created), _MOMENT]
"""When an item was created, likewise."""

Weight = Annotated[float, BeforeValidator(_weight)]
"""The weight of an event type in the order of recommendations."""
