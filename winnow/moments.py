"""Moments: their text formats and plausible values; one definition for files, requests and CloudEvents.

A moment is int milliseconds since the epoch. As text it is a date, or a date and a time: RFC 3339 (``T`` or a space
between them, ``Z`` or an offset, any number of decimals), what Python's ``isoformat`` and ``str`` write, and what
PostgreSQL writes (``2024-01-02 03:04:05.123456+00``). **Without an offset it is UTC.** Fractions of a millisecond are
cut off.

Error texts complete "must be …", so files and requests get the same message.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

IN_WORDS = "milliseconds since the epoch, or a date and time as 2026-01-31T12:00:00Z"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](\d\d(?::\d\d)?(?::(\d\d))?)(?:[.,](\d+))?(?: ?([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d(?::?\d\d)?)?))?)?"
)

SECONDS_BELOW = 10**11
"""Event timestamps below this value (March 1973 in milliseconds) are refused as seconds."""

# Values above this (the year 5138 in milliseconds) are refused as microseconds.
_MICROSECONDS_ABOVE = 10**14
# Items may be older than 1973. Seconds of the years 1973 to 2286, read as milliseconds, fall into early 1970, when
# hardly any item was created.
_CREATED_SECONDS = (10**8, 10**10)

_EARLY = "milliseconds since the epoch, and later than 1973"
_SECONDS = "milliseconds since the epoch, but looks like seconds: multiply by 1000"
_FINER = "milliseconds since the epoch, but looks like micro- or nanoseconds: divide by 1000 or 1,000,000"
_FUTURE = "in the past: correct the clock or the time zone"


class Implausible(NamedTuple):
    """A span of moments that is refused.

    Attributes:
        after: its start, exclusive.
        until: its end, inclusive; ``None`` for a span without end.
        words: the rule that a moment of the span breaks.
    """

    after: int
    until: int | None
    words: str


def implausible_events(now: int, ahead: int) -> tuple[Implausible, ...]:
    """The spans in which no event can have happened.

    Args:
        now: milliseconds since the epoch.
        ahead: tolerance for senders whose clock is ahead, in milliseconds.
    """
    return (
        Implausible(-(2**63), 0, _EARLY),
        Implausible(0, SECONDS_BELOW - 1, _SECONDS),
        Implausible(now + ahead, _MICROSECONDS_ABOVE, _FUTURE),
        Implausible(_MICROSECONDS_ABOVE, None, _FINER),
    )


IMPLAUSIBLE_CREATION = (
    Implausible(-(2**63), -_MICROSECONDS_ABOVE, _FINER),
    Implausible(_CREATED_SECONDS[0], _CREATED_SECONDS[1] - 1, _SECONDS),
    Implausible(_MICROSECONDS_ABOVE, None, _FINER),
)
"""The spans in which no item can have been created; the future and the time before 1970 are allowed."""


def fault(moment: int, implausible: Iterable[Implausible]) -> str | None:
    """The rule that ``moment`` breaks, in words; ``None`` where it is plausible."""
    for after, until, words in implausible:
        if moment > after and (until is None or moment <= until):
            return words
    return None


def parse(text: str) -> int:
    """Parse a moment.

    Raises:
        ValueError: the text has none of the formats above, or names a day or an hour that does not exist.
    """
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not {IN_WORDS}")
    day, clock, seconds, fraction, zone = found.groups()
    if fraction and not seconds:
        raise ValueError(f"{text!r} has decimals but no seconds")
    # Unix time has no leap seconds: one counts as the first second of the next minute.
    leap = seconds == "60"
    clock = f"{clock[:-2]}59" if leap else clock or "00"
    offset = "+00:00" if zone in (None, "Z", "z", "UTC", "GMT") else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{offset}") + timedelta(seconds=int(leap))
    return (moment - _EPOCH) // _MS + int((fraction or "0").ljust(3, "0")[:3])
