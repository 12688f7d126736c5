"""What each call of the client sends, and how its response is read. No I/O: both clients share it."""

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NotRequired, TypeVar

from typing_extensions import TypedDict

from winnow.client import answers
from winnow.request import Answer

T = TypeVar("T")

Content = bytes | Path
"""An image or a sound: its bytes, or the file that holds them."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call of KServe's V1 protocol.

    Attributes:
        model: name of the model.
        instances: its instances.
        read: makes the result from the predictions.
    """

    model: str
    instances: Sequence[Mapping[str, Any]]
    read: Callable[[list[Any]], T]

    @property
    def path(self) -> str:
        """Path of the URL."""
        return f"/v1/models/{self.model}:predict"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"instances": list(self.instances)}


class SessionEvent(TypedDict):
    """An event of a session, in a request; by default one of the type of a plain click."""

    item_id: str
    event: NotRequired[str]
    timestamp: NotRequired[int | str]
    amount: NotRequired[float]


class SentEvent(SessionEvent):
    """An event to store; without an ``event_id`` it gets a random one, so that a retry does not store it twice."""

    user_id: str
    event_id: NotRequired[str]
    recommendation_id: NotRequired[str]


class Choices(TypedDict, total=False):
    """The optional fields of every recommendation; :class:`winnow.request.RecommendRequest` describes them."""

    k: int
    filters: Mapping[str, Any]
    boosts: Sequence[Mapping[str, Any]]
    pins: Sequence[Mapping[str, Any]]
    caps: Mapping[str, int]
    objectives: Mapping[str, float]
    diversity: float
    repeats: str
    reasons: bool
    deadline_ms: int
    debug: bool


def recommend(**fields: Any) -> Call[Answer]:
    """One recommendation; fields that are ``None`` are left out."""
    instance = {name: value for name, value in fields.items() if value is not None}
    return Call("recommender", [instance], _only)


def recommend_all(requests: Sequence[Mapping[str, Any]]) -> Call[list[Answer]]:
    """Several recommendations in one call."""
    return Call("recommender", requests, _all)


def search(text: str | None, image: Content | None, audio: Content | None, **fields: Any) -> Call[Answer]:
    """A recommendation by content."""
    given = {"text": text, "image": _encoded(image), "audio": _encoded(audio)}
    return recommend(query={name: value for name, value in given.items() if value is not None}, **fields)


def send_events(events: Sequence[SentEvent]) -> Call[list[answers.StoredEvent]]:
    """Events, each with an ``event_id``."""
    return Call("events", [{"event_id": uuid.uuid4().hex, **event} for event in events], _all)


def put_items(items: Sequence[Mapping[str, Any]]) -> Call[list[answers.ChangedItem]]:
    """Items to add or change; ``image`` and ``audio`` may be bytes or files."""
    instances = [
        {name: _encoded(value) if isinstance(value, Content) else value for name, value in item.items()}
        for item in items
    ]
    return Call("items", instances, _all)


def change_items(action: str, item_ids: Sequence[str]) -> Call[list[answers.ChangedItem]]:
    """One action on several items."""
    return Call("items", [{"item_id": item_id, "action": action} for item_id in item_ids], _all)


def read_item(item_id: str, nearest: int) -> Call[answers.ItemRecord]:
    """An item as it is now."""
    return Call("items", [{"item_id": item_id, "action": "read", "nearest": nearest}], _only)


def read_items(item_ids: Sequence[str]) -> Call[list[answers.ItemRecord]]:
    """Several items as they are now."""
    return Call("items", [{"item_id": item_id, "action": "read"} for item_id in item_ids], _all)


def put_user(user_id: str, attributes: Mapping[str, Any]) -> Call[answers.ChangedUser]:
    """Attributes to change."""
    return Call("users", [{"user_id": user_id, "attributes": dict(attributes)}], _only)


def read_user(user_id: str, n: int) -> Call[answers.UserRecord]:
    """A user with the newest events."""
    return Call("users", [{"user_id": user_id, "action": "read", "n": n}], _only)


def user_events(user_id: str, n: int, before: str | None) -> Call[answers.UserEvents]:
    """A page of a user's events."""
    instance: dict[str, Any] = {"user_id": user_id, "action": "events", "n": n}
    return Call("users", [instance if before is None else instance | {"before": before}], _only)


def merge_users(user_id: str, into: str) -> Call[answers.MergedUser]:
    """A merge of two ids."""
    return Call("users", [{"user_id": user_id, "action": "merge", "into": into}], _only)


def erase_user(user_id: str) -> Call[answers.ErasedUser]:
    """An erasure."""
    return Call("users", [{"user_id": user_id, "action": "erase"}], _only)


def _encoded(content: Content | None) -> dict[str, str] | None:
    if content is None:
        return None
    data = content.read_bytes() if isinstance(content, Path) else content
    return {"b64": base64.b64encode(data).decode()}


def _only(predictions: list[Any]) -> Any:
    [only] = predictions
    return only


def _all(predictions: list[Any]) -> list[Any]:
    return predictions
