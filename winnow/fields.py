"""Fields that several requests have, with the rules that files follow, too: ids and moments."""

import time
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from winnow import identifiers, moments

FAULT = "fault"
"""The type of an error whose message completes "must be …"."""

_AHEAD_MS = 60_000
"""How far the sender's clock may be ahead of ours."""

V = TypeVar("V")


def event_fault(moment: int) -> str | None:
    """What the moment of an event must be instead; None where it is plausible."""
    return moments.fault(moment, moments.implausible_events(time.time_ns() // 1_000_000, _AHEAD_MS))


def _identifier(text: str) -> str:
    return _without(text, identifiers.fault(text))


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


Name = Annotated[str, StringConstraints(min_length=1, max_length=identifiers.LONGEST)]
"""A text as short as an id."""

Identifier = Annotated[Name, AfterValidator(_identifier)]
"""An id, as :mod:`winnow.identifiers` defines it."""

Happened = Annotated[int, BeforeValidator(_written), AfterValidator(_happened)]
"""When an event happened, milliseconds since the epoch; :mod:`winnow.moments` says how it may be written."""

Created = Annotated[int, BeforeValidator(_written), AfterValidator(_created)]
"""When an item was created, likewise."""
