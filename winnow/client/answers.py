"""Answers of the models ``events``, ``items`` and ``users``; that of ``recommender`` is in :mod:`winnow.request`."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

ItemState = Literal["release", "new", "changed", "disabled", "deleted", "unknown"]
"""``release``: as the release was built; ``new``: added since; ``changed``, ``disabled`` and ``deleted``: since."""


class StoredEvent(TypedDict):
    """The receipt of an event.

    ``stream_id`` is its id in the event stream; ``duplicate`` is true where it had been stored before.
    """

    stream_id: str
    duplicate: bool


class ChangedItem(TypedDict):
    """The receipt of a change of an item.

    ``changed`` is false where the item was so already, ``replaced`` true where the catalog had it before. ``nearest``
    are the ids of the most similar items.
    """

    item_id: str
    action: Literal["upsert", "disable", "enable", "delete"]
    state: ItemState
    nearest: list[str]
    changed: bool
    replaced: bool


class ItemRecord(TypedDict):
    """An item as it is now: ``document`` has a value per column; ``version`` names the last change."""

    item_id: str
    action: Literal["read"]
    state: ItemState
    nearest: list[str]
    document: dict[str, Any]
    version: str


class UserEvent(TypedDict):
    """An event of a user; ``stream_id`` is present where it is still in the event stream only."""

    item_id: str
    event: str
    timestamp: int
    amount: NotRequired[float]
    event_id: NotRequired[str]
    recommendation_id: NotRequired[str]
    stream_id: NotRequired[str]


class ChangedUser(TypedDict):
    """The receipt of changed attributes; ``known`` is whether the user had any before."""

    user_id: str
    known: bool


class UserRecord(TypedDict):
    """A user as the server knows them: ``history`` is newest first, ``filters`` says how full the Bloom filters are."""

    user_id: str
    known: bool
    attributes: dict[str, Any]
    features: dict[str, Any]
    history: list[UserEvent]
    filters: dict[str, Any]


class UserEvents(TypedDict):
    """A page of a user's events, newest first; ``next`` asks for the page after it, ``None`` on the last one."""

    user_id: str
    events: list[UserEvent]
    next: str | None


class MergedUser(TypedDict):
    """The receipt of a merge at ``at_ms``, milliseconds since the epoch."""

    user_id: str
    into: str
    at_ms: int


class ErasedUser(TypedDict):
    """The receipt of an erasure: what was removed where."""

    user_id: str
    erased: dict[str, Any]
