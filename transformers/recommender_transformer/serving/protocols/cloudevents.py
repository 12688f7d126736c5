"""CloudEvents 1.0 over HTTP: one event in headers and body (binary) or in the body (structured), or a list (batch).

KServe decodes the first two, but accepts incomplete CloudEvents as other requests, and answers 500 to some malformed
ones. This module checks them as strictly as other requests, and responds in the mode of the request.
"""

import base64
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import orjson
from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from recommender_transformer.serving.protocols.json_body import loads
from winnow import fields, moments
from winnow.fields import Identifier, event_fault
from winnow.request import MAX_INSTANCES, Contract, InvalidRequest, explain, quote

Mode = Literal["binary", "structured", "batch"]

_PREFIX = "ce-"
_STRUCTURED, _BATCH = "application/cloudevents", "application/cloudevents-batch"
_FORMATS = {"structured": f"{_STRUCTURED}+json", "batch": f"{_BATCH}+json"}


class CloudEvent(Contract):
    """One CloudEvent; further attributes are extensions, which are ignored."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    specversion: Literal["1.0"] = Field(description='"1.0"')
    id: Identifier = Field(description=fields.LENGTH)
    source: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\s]+$")] = Field(
        description="a URI reference of 1 to 256 characters"
    )
    type: Identifier = Field(description=fields.LENGTH)
    time: str | None = Field(default=None, description="a time as 2026-01-31T12:00:00Z")
    datacontenttype: str | None = Field(default=None, description="application/json")
    data: Any = Field(default=None, description="an object")
    data_base64: str | None = Field(default=None, description="base64 text of JSON")


@dataclass(frozen=True)
class ReceivedEvent:
    """The contents of one CloudEvent.

    Attributes:
        kind: the type.
        event_id: source and id, with a space between them; unique, because a source has no spaces.
        timestamp: the time, milliseconds since the epoch; `None` without one.
        data: the data, not validated.
    """

    kind: str
    event_id: str
    timestamp: int | None
    data: object

    def instance(self, types: Collection[str]) -> object:
        """The event of the contract: the fields of the data, with those that it lacks taken from the envelope.

        The event type is the CloudEvent's type if that is declared, otherwise the part after its last dot, as in
        ``com.example.view``.

        Args:
            types: the declared event types.
        """
        if not isinstance(self.data, dict):
            return self.data
        kind = self.kind if self.kind in types else self.kind.rpartition(".")[2]
        time = {} if self.timestamp is None else {"timestamp": self.timestamp}
        return {"event_id": self.event_id, "event": kind} | time | self.data


@dataclass(frozen=True)
class CloudEvents:
    """The CloudEvents of a call."""

    events: tuple[ReceivedEvent, ...]


def mode_of(headers: Mapping[str, str]) -> Mode | None:
    """The mode of a call's CloudEvents; `None` if it has none."""
    media = _media_type(headers.get("content-type", ""))
    if media.startswith(_BATCH):
        return "batch"
    if media.startswith(_STRUCTURED):
        return "structured"
    return "binary" if any(name.startswith(_PREFIX) for name in headers) else None


def decode(body: bytes, headers: Mapping[str, str], mode: Mode) -> CloudEvents:
    """The CloudEvents of a call.

    Raises:
        InvalidRequest: a CloudEvent is malformed; the message names the attribute.
    """
    media = _media_type(headers.get("content-type", ""))
    if mode == "binary":
        attributes = {name[len(_PREFIX) :]: value for name, value in headers.items() if name.startswith(_PREFIX)}
        of_body = {"datacontenttype": media or None, "data": None, "data_base64": None}
        envelope = _envelope({name: _unquoted(name, value) for name, value in attributes.items()} | of_body, "ce")
        return CloudEvents((_received(envelope, loads(body, "body"), "ce"),))
    if media != _FORMATS[mode]:
        raise InvalidRequest(f"content-type: must be {_FORMATS[mode]}, got {quote(media)}")
    given = loads(body, "body")
    given = [given] if mode == "structured" else given
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_INSTANCES:
        raise InvalidRequest(f"body: must be a list of 1 to {MAX_INSTANCES} CloudEvents, got {quote(given)}")
    received = []
    for position, one in enumerate(given):
        where = f"cloudevents[{position}]"
        envelope = _envelope(one, where)
        received.append(_received(envelope, _data(envelope, where), where))
    return CloudEvents(tuple(received))


def encode(answer: object, model: str, mode: Mode) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a response as a CloudEvent, with the type and source of KServe's own."""
    attributes = {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": f"io.kserve.inference.{model}",
        "type": "io.kserve.inference.response",
        "time": datetime.now(UTC).isoformat(),
    }
    if mode == "binary":
        headers = {f"{_PREFIX}{name}": value for name, value in attributes.items()}
        return orjson.dumps(answer), headers | {"content-type": "application/json"}
    whole = attributes | {"datacontenttype": "application/json", "data": answer}
    return orjson.dumps([whole] if mode == "batch" else whole), {"content-type": _FORMATS[mode]}


def _envelope(given: object, where: str) -> CloudEvent:
    try:
        envelope = CloudEvent.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(explain(CloudEvent, error, where)) from None
    kind = _media_type(envelope.datacontenttype or "application/json")
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidRequest(f"{where}.datacontenttype: must be application/json, got {quote(kind)}")
    return envelope


def _received(envelope: CloudEvent, data: object, where: str) -> ReceivedEvent:
    event_id = f"{envelope.source} {envelope.id}"
    if fault := fields.identifier_fault(event_id):
        raise InvalidRequest(f"{where}.id: must be, with its source and a space, {fault}, got {quote(event_id)}")
    return ReceivedEvent(envelope.type, event_id, _milliseconds(envelope.time, where), data)


def _data(envelope: CloudEvent, where: str) -> object:
    if envelope.data_base64 is None:
        return envelope.data
    if envelope.data is not None:
        raise InvalidRequest(f"{where}.data_base64: must not be set together with data")
    try:
        text = base64.b64decode(envelope.data_base64, validate=True)
    except ValueError:
        raise InvalidRequest(f"{where}.data_base64: must be base64, got {quote(envelope.data_base64)}") from None
    return loads(text, f"{where}.data_base64")


def _milliseconds(time: str | None, where: str) -> int | None:
    if time is None:
        return None
    try:
        moment = moments.parse(time)
    except ValueError:
        raise InvalidRequest(f"{where}.time: must be a time as 2026-01-31T12:00:00Z, got {quote(time)}") from None
    if fault := event_fault(moment):
        raise InvalidRequest(f"{where}.time: must be {fault}, got {quote(time)}")
    return moment


def _unquoted(name: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest(f"ce-{quote(name)[1:-1]}: must be percent-encoded UTF-8, got {quote(value)}") from None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
