"""Which fields of a recommendation request may be combined; docs/requests.md has the same as a table."""

from collections.abc import Collection, Mapping
from typing import Literal

FormName = Literal["plain", "items", "like", "rank", "list"]
"""What an impression is labelled with: ``plain`` also stands for requests with a query, ``items`` for a session."""

Relation = Literal["similar", "complementary"]
"""Items with the nearest vectors, or items that users interact with close to the item."""

ListName = Literal["popular", "trending", "new", "last_seen"]
"""A list that is shown as it is."""

ASKED = ("user_id", "query", "items", "like", "rank", "list")
"""Fields of which a request has at least one."""

_NOT_WITH: Mapping[str, tuple[str, ...]] = {
    "list": ("query", "like", "relation", "rank", "objectives", "diversity", "repeats"),
    "rank": ("like", "relation", "diversity"),
    "like": ("query",),
}
"""Field -> fields that it cannot be combined with, because one of the two would have no effect."""


def form_of(given: Collection[str]) -> FormName:
    """The form of a request with these fields."""
    for form in ("list", "rank", "like", "items"):
        if form in given:
            return form
    return "plain"


def fault(given: Collection[str], listed: ListName | None) -> str | None:
    """What is wrong with the combination of a request's fields, as the end of the path ``instances[0]``.

    Args:
        given: the fields that the request has.
        listed: its ``list``.

    Returns:
        The message, which names both fields; ``None`` where the fields may be combined.
    """
    for field, others in _NOT_WITH.items():
        if field in given and (clashing := [other for other in others if other in given]):
            return f".{field}: cannot be combined with {clashing[0]}"
    if "relation" in given and "like" not in given:
        return ".relation: needs like, the item that others are related to"
    known = "user_id" in given or "items" in given
    if listed == "last_seen" and not known:
        return ".list: last_seen needs user_id or items, whose events it lists"
    if listed not in (None, "last_seen") and "items" in given:
        return f".list: {listed} cannot be combined with items, because the list is the same for everyone"
    return None
