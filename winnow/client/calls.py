"""What each call of the client sends, and how its response is read. No I/O: both clients share it."""

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NotRequired, TypeVar

from typing_extensions import TypedDict

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


class Options(TypedDict, total=False):
    """The optional fields of every recommendation; :class:`winnow.request.RecommendRequest` describes them."""

    k: int
    filters: Mapping[str, Any]
    deadline_ms: int
    diversity: float
    objectives: Mapping[str, float]
    repeats: str
    debug: bool


class SentEvent(TypedDict):
    """An event to send; without an ``event_id`` it gets a random one, so that a retry does not store it twice."""

    user_id: str
    item_id: str
    event: str
    timestamp: NotRequired[int | str]
    amount: NotRequired[float]
    event_id: NotRequired[str]


class StoredEvent(TypedDict):
    """The receipt of an event.

    ``stream_id`` is its id in the event stream; ``duplicate`` is true where it had been stored before.
    """

    stream_id: str
    duplicate: bool


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


def send_events(events: Sequence[SentEvent]) -> Call[list[StoredEvent]]:
    """Events, each with an ``event_id``."""
    return Call("events", [{"event_id": uuid.uuid4().hex, **event} for event in events], _all)


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
