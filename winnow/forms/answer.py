"""The answer to a recommendation request."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class RecommendedItem(TypedDict):
    """One item of an answer.

    ``click`` is the probability that the user interacts with the item, ``conversion`` that of a conversion given an
    interaction, and ``value`` what showing the item is worth by the weights in force. They are ``None`` where the
    ranker was not called. ``score`` is what items are ordered by. New items have a title, because the release does not
    have it.
    """

    item_id: str
    title: NotRequired[str]
    score: float
    click: float | None
    conversion: float | None
    value: float | None
    sources: list[str]
    position: int


class LeftOut(TypedDict):
    """An item of a caller's own list that is not shown.

    ``removed_by`` is the filter that removed the item, or ``unknown`` for an id that is not in the catalog.
    """

    item_id: str
    removed_by: str
    reason: str


class Answer(TypedDict):
    """The answer to one request; ``degraded`` names every component that was unavailable, and the reason.

    ``reused_ms`` is present where an earlier answer was reused, because nothing that it was computed from had changed:
    its age in milliseconds. ``explored`` is present where the list was drawn at random (``--explore``).
    ``arms`` is present where the user takes part in experiments (``--experiments``): experiment -> arm.
    ``left_out`` is present for a caller's own list (``rank``): the ids that cannot be shown, each with the reason.
    """

    user_id: str | None
    release: int
    request_id: str
    items: list[RecommendedItem]
    degraded: list[str]
    reused_ms: NotRequired[int]
    explored: NotRequired[bool]
    arms: NotRequired[Mapping[str, str]]
    left_out: NotRequired[Sequence[LeftOut]]
    trace: NotRequired[dict[str, Any]]
