"""Fields that requests and files share, with one rule for both: identifiers, moments and the size of media.

A rule's words complete "must be …", so that a request and a file are refused with the same sentence.
"""

import re
import time
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from winnow import moments

LONGEST_IDENTIFIER = 256
"""Characters (code points) of a user's, an item's or an event's id."""

LENGTH = f"a string of 1 to {LONGEST_IDENTIFIER} characters"
PLAIN = "free of control characters"

CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""Unicode's control characters (Cc), as Python's ``re`` and RE2 both read it."""

_CONTROL = re.compile(CONTROL)

MAX_MEDIA_BYTES = 4 * 2**20
"""Of an encoded picture or sound, in a catalog and in a request alike."""

FAULT = "fault"
"""The type of an error whose message completes "must be …"."""

_AHEAD_MS = 60_000
"""How far the sender's clock may be ahead of ours."""

V = TypeVar("V")


def identifier_fault(text: str) -> str | None:
    """What ``text`` must be to be an id; None where it is one."""
    if not 1 <= len(text) <= LONGEST_IDENTIFIER:
        return LENGTH
    return PLAIN if _CONTROL.search(text) else None


def event_fault(moment: int) -> str | None:
    """What the moment of an event must be instead; None where it is plausible."""
    return moments.fault(moment, moments.implausible_events(time.time_ns() // 1_000_000, _AHEAD_MS))


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


def _without(value: V, fault: str | None) -> V:
    if fault:
        raise PydanticCustomError(FAULT, fault)
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_IDENTIFIER)]
"""A text as short as an id."""

Identifier = Annotated[Name, AfterValidator(_identifier)]
"""An id, as :func:`identifier_fault` defines it."""

Happened = Annotated[int, BeforeValidator(_written), AfterValidator(_happened)]
"""When an event happened, milliseconds since the epoch; :mod:`winnow.moments` says how it may be written."""

Created = Annotated[int, BeforeValidator(_written), AfterValidator(_created)]
"""When an item was created, likewise."""
