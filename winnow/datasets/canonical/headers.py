"""Match a file's headings with expected columns, whatever their case, spaces and underscores."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

_SHOWN = 10
_UNSAID = {"event_id", "stream_id"}
"""Columns of exported events, which are ignored without a note."""


@dataclass(frozen=True)
class Matched:
    """The columns found in a file.

    Attributes:
        places: column -> its position in the file.
        near: column -> its heading, where the two are spelled differently.
        several: column -> its headings, where more than one matches; none of them is read.
        unread: the other headings.
    """

    places: dict[str, int]
    near: dict[str, str]
    several: dict[str, list[str]]
    unread: list[str]

    def notes(self) -> Iterator[str]:
        """Notes for the user."""
        for name, heading in self.near.items():
            yield f"column {heading!r} is read as {name}"
        unread = [name for name in self.unread if name not in _UNSAID and not name.startswith("__")]
        if unread:
            more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
            yield f"not read, as dataset.yaml does not declare them: {', '.join(map(repr, unread[:_SHOWN]))}{more}"


def match(headings: Sequence[str], known: Collection[str]) -> Matched:
    """Find the expected columns among a file's headings.

    Spaces around a heading are ignored. An exact match wins; otherwise a heading matches that differs by case, spaces,
    hyphens or underscores.

    Args:
        headings: headings of the file, in order; duplicates are possible.
        known: the expected columns.
    """
    trimmed = [heading.strip("\ufeff \t\r\n\u00a0") for heading in headings]
    folded = Counter(map(_folded, known))
    exact: dict[str, list[int]] = defaultdict(list)
    like: dict[str, list[int]] = defaultdict(list)
    for place, heading in enumerate(trimmed):
        (exact if heading in known else like)[heading if heading in known else _folded(heading)].append(place)
    places: dict[str, int] = {}
    near: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name in known:
        found = exact[name] or (like[_folded(name)] if folded[_folded(name)] == 1 else [])
        if len(found) > 1:
            several[name] = [headings[place] for place in found]
        elif found:
            places[name] = found[0]
            if not exact[name]:
                near[name] = trimmed[found[0]]
    taken = {*places.values()} | {place for name in several for place in (*exact[name], *like[_folded(name)])}
    unread = [heading for place, heading in enumerate(trimmed) if place not in taken and heading]
    return Matched(places, near, several, unread)


def _folded(heading: str) -> str:
    return re.sub(r"[\s_.-]+", "", heading).casefold()
