"""What is compared, read from the address: a user and settings on the left, and what differs from that on the right."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from winnow.errors import WinnowError
from winnow.schema import Repeats

FIELDS = ("user", "release", "k", "diversity", "where", "repeats", "objectives")
"""Fields of the left side; those of the right end with ``2``, and an empty one is as on the left."""

REPEATS: tuple[Repeats, ...] = get_args(Repeats)

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Side:
    """One of the two lists.

    Attributes:
        user: id of the user.
        release: its number; ``None`` for the release that is served.
        fields: of the request, beside the user.
        settings: the fields that were given, in words.
    """

    user: str
    release: int | None
    fields: Mapping[str, Any]
    settings: tuple[str, ...]


def given(query: Mapping[str, str]) -> dict[str, str]:
    """The fields of both sides as the form shows them; missing ones are empty."""
    return {name: query.get(name, "").strip() for field in FIELDS for name in (field, f"{field}2")}


def sides(form: Mapping[str, str]) -> tuple[Side, Side]:
    """Both sides of a form that names a user.

    Raises:
        WinnowError: a field is no number, or no weight; the message names it.
    """
    left = {name: form[name] for name in FIELDS}
    right = {name: form[f"{name}2"] or form[name] for name in FIELDS}
    return _side(left, ""), _side(right, "2")


def _side(form: Mapping[str, str], end: str) -> Side:
    fields: dict[str, Any] = {}
    if form["k"]:
        fields["k"] = int(_number(f"k{end}", form["k"], whole=True))
    if form["diversity"]:
        fields["diversity"] = _number(f"diversity{end}", form["diversity"])
    if form["where"]:
        fields["filters"] = {"where": form["where"]}
    if form["repeats"]:
        fields["repeats"] = form["repeats"]
    if form["objectives"]:
        fields["objectives"] = _weights(f"objectives{end}", form["objectives"])
    release = form["release"]
    if release and not _NUMBER.fullmatch(release):
        raise WinnowError(f"release{end}: must be the number of a release, got {release[:40]!r}")
    settings = tuple(f"{name} {form[name]}" for name in FIELDS[2:] if form[name])
    return Side(form["user"], int(release) if release else None, fields, settings)


def _number(name: str, text: str, whole: bool = False) -> float:
    try:
        value = float(int(text)) if whole else float(text)
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise WinnowError(f"{name}: must be a {'whole number' if whole else 'number'}, got {text[:40]!r}")
    return value


def _weights(name: str, text: str) -> dict[str, float]:
    """``view=1, buy=4`` as event type -> weight."""
    weights: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        kind, equals, weight = part.rpartition("=")
        if not equals or not kind.strip():
            raise WinnowError(f"{name}: must be weights such as view=1, buy=4; got {part[:40]!r}")
        weights[kind.strip()] = _number(name, weight.strip())
    return weights
