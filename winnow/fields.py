"""Field types that requests and files share: identifiers, moments, weights, limits, and what rules are made of.

The text of a rule completes "must be …", so that requests and files get the same error message.
"""

import re
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from winnow import moments
from winnow.schema import LARGEST_VALUE

MAX_K = 500
"""The longest list."""

MAX_WHERE = 4000
"""Maximum length of a filter, in characters."""

MAX_CAPS = 10
"""Maximum of capped columns."""

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

QUOTED = 16
"""Characters of a ``recommendation_id`` that name the recommendation; what follows is for the next page."""

LONGEST_QUOTE = 9000
"""Characters of a ``recommendation_id``."""

QUOTE = "the recommendation_id of an answer"

_QUOTE = re.compile(rf"[A-Za-z0-9_-]{{{QUOTED}}}(\..*)?", re.DOTALL)

FAULT = "fault"
"""Type of the pydantic errors whose message completes "must be …"."""

_AHEAD_MS = 60_000
"""Tolerance for senders whose clock is ahead."""

V = TypeVar("V")
P = TypeVar("P", bound=Sequence["Pin"])


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


def _quoted(text: str) -> str:
    return _without(text, None if _QUOTE.fullmatch(text) else QUOTE)[:QUOTED]


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

Quote = Annotated[str, StringConstraints(max_length=LONGEST_QUOTE), AfterValidator(_quoted)]
"""The recommendation that an event follows from: a ``recommendation_id``, of which the naming characters are kept."""

Weight = Annotated[float, BeforeValidator(_weight)]
"""The weight of an event type in the order of recommendations."""


class Contract(BaseModel):
    """A strict model: strings are not read as numbers, and an unknown field is an error.

    Attributes:
        remark: ends the error message about an unknown field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    remark: ClassVar[str] = ""


class Boost(Contract):
    """A factor on the worth of some items; below 1 it demotes them.

    Attributes:
        where: which items, in the filter language.
        factor: the factor.
        name: what the trace calls it; ``None`` for the filter's text.
    """

    where: Annotated[str, StringConstraints(min_length=1, max_length=MAX_WHERE)] = Field(
        description=f"a filter of 1 to {MAX_WHERE} characters"
    )
    factor: float = Field(ge=0.01, le=100.0, description="a number between 0.01 and 100")
    name: Identifier | None = Field(default=None, description=LENGTH)


class Pin(Contract):
    """An item at a position of the list.

    Attributes:
        item_id: the item.
        position: from 0, as in the answer.
    """

    item_id: Identifier = Field(description=LENGTH)
    position: int = Field(ge=0, lt=MAX_K, description=f"a whole number between 0 and {MAX_K - 1}")


def each_once(pins: P) -> P:
    """Pins, of which no two have an item or a position in common.

    Raises:
        PydanticCustomError: two have.
    """
    for name in Pin.model_fields:
        values = [getattr(pin, name) for pin in pins]
        twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
        if twice is not None:
            rule = "pins of distinct items at distinct positions, but two have the"
            raise PydanticCustomError(FAULT, f"{rule} {name} {twice!a}")
    return pins


Cap = Annotated[int, Field(ge=1, le=MAX_K)]
"""Items of one value of a column in a list."""
