"""Moments: how they are written as text, and which are plausible. One definition for files, requests and CloudEvents.

A moment is int milliseconds since the epoch. As text it is a date, or a date and a time: RFC 3339 (``T`` or a space
between them, ``Z`` or an offset, any number of decimals), what Python's ``isoformat`` and ``str`` write, and what
PostgreSQL writes (``2024-01-02 03:04:05.123456+00``). **Without an offset it is UTC.** What is finer than a
millisecond is cut off.

The words complete "must be …", so all doors refuse a moment with the same sentence.
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
"""Of a moment after 1973: below it, milliseconds are read wrongly from seconds."""

# And from microseconds above this (5138).
_MICROSECONDS_ABOVE = 10**14
# A catalog may hold things older than 1973, but hardly from the months that seconds would show.
_CREATED_SECONDS = (10**8, 10**10)

_EARLY = "milliseconds since the epoch, and later than 1973"
_SECONDS = "milliseconds since the epoch, but looks like seconds: multiply by 1000"
_FINER = "milliseconds since the epoch, but looks like micro- or nanoseconds: divide by 1000 or 1,000,000"
_FUTURE = "in the past: correct the clock or the time zone"


class Implausible(NamedTuple):
    """Moments that are refused.

    Attributes:
        after: those later than this, exclusive.
        until: those up to this, inclusive; None without end.
        words: what a moment must be instead.
    """

    after: int
    until: int | None
    words: str


def implausible_events(now: int, ahead: int) -> tuple[Implausible, ...]:
    """What cannot be the moment of an event.

    Args:
        now: milliseconds since the epoch.
        ahead: how far the sender's clock may be ahead of ours, in milliseconds.
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
"""What cannot be the moment at which an item was created; it may lie ahead, or before 1970."""


def fault(moment: int, implausible: Iterable[Implausible]) -> str | None:
    """What ``moment`` must be instead; None where it is plausible."""
    for after, until, words in implausible:
        if moment > after and (until is None or moment <= until):
            return words
    return None


def parse(text: str) -> int:
    """The moment that a text names.

    Raises:
        ValueError: it is none of the forms above, or no such day or hour exists.
    """
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not {IN_WORDS}")
    day, clock, seconds, fraction, zone = found.groups()
    if fraction and not seconds:
        raise ValueError(f"{text!r} has decimals but no seconds")
    # A leap second is the first of the next minute: the epoch's count has none.
    leap = seconds == "60"
    clock = f"{clock[:-2]}59" if leap else clock or "00"
    offset = "+00:00" if zone in (None, "Z", "z", "UTC", "GMT") else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{offset}") + timedelta(seconds=int(leap))
    return (moment - _EPOCH) // _MS + int((fraction or "0").ljust(3, "0")[:3])
