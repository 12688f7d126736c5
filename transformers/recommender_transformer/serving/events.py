"""The ``events`` model of the KServe server: checks events and appends them to the event stream."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from fastapi import Request
from fastapi.responses import JSONResponse
from grpc_interceptor.exceptions import GrpcException
from kserve import InferOutput, InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]
from prometheus_client import Counter
from pydantic import Field

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.protocols import codec
from recommender_transformer.serving.protocols.cloudevents import CloudEvents
from winnow import fields, moments
from winnow.feedback.append import TIMEOUT_S, Appended, AppendOptions, NotReplicated, StreamFull, append
from winnow.fields import Happened, Identifier, Quote
from winnow.release import Release
from winnow.request import Contract, InvalidRequest, parse_all, quote
from winnow.store.connection import RedisError

NAME = "events"
OUTPUTS = ("stream_id", "duplicate")

_EVENTS = Counter(
    "winnow_events_total",
    "Events received, by outcome: taken, duplicate, refused because the stream is full, or not stored.",
    ("outcome",),
)
# Export the counters at 0: a series that begins with its first failure has no rate for it.
_TAKEN, _DUPLICATE, _FULL, _NOT_STORED = map(_EVENTS.labels, ("taken", "duplicate", "full", "not_stored"))

_REACTIONS = Counter(
    "winnow_reactions_total",
    "Events stored, by the sign of their type's value. A gateway that keeps a user on one chain also sends the user's "
    "events there, so they are reactions to the chain's recommendations.",
    ("value",),
)
_POSITIVE, _NEGATIVE, _ZERO = map(_REACTIONS.labels, ("positive", "negative", "zero"))

_RETRY_AFTER_S = 30
"""The Retry-After of a full stream: an export takes seconds, but must be started."""


class EventRequest(Contract):
    """One event. The timestamp defaults to the time of receipt; the amount grades an event of a graded type.

    An event with an ``event_id`` can be sent again without being stored twice. The ``event_id`` of a CloudEvent is its
    source and id. The ``recommendation_id`` is that of the answer that the event follows from, whole or its first 16
    characters, which are what is kept of it.
    """

    user_id: Identifier = Field(description=fields.LENGTH)
    item_id: Identifier = Field(description=fields.LENGTH)
    event: Identifier = Field(description="a declared event type")
    timestamp: Happened | None = Field(default=None, description=moments.IN_WORDS)
    amount: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="a finite number, 0 or above")
    event_id: Identifier | None = Field(default=None, description=fields.LENGTH)
    recommendation_id: Quote | None = Field(default=None, description=fields.QUOTE)


class StreamUnavailable(ServerNotReady):  # type: ignore[misc]
    """The event stream cannot be written: 503, because an event that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


class TooManyEvents(GrpcException):
    """The event stream is full: 429 and RESOURCE_EXHAUSTED, because it must not be trimmed before it is exported."""

    status_code = grpc.StatusCode.RESOURCE_EXHAUSTED


async def too_many_events(request: Request, error: Exception) -> JSONResponse:
    """The HTTP response to :class:`TooManyEvents`."""
    assert isinstance(error, TooManyEvents)
    return JSONResponse({"error": error.details}, status_code=429, headers={"Retry-After": str(_RETRY_AFTER_S)})


class EventsModel(ConnectedModel[OnlineStore]):
    """Checks events against the release and appends them; answers with the stream id of each.

    Args:
        release: gives the declared event types.
        connect: returns the store; called inside the server's event loop.
        limits: bound of the stream, and the replicas that must hold an event before it is acknowledged.
    """

    def __init__(self, release: Release, connect: Callable[[], Awaitable[OnlineStore]], limits: AppendOptions) -> None:
        super().__init__(NAME, connect)
        self._limits = limits
        self._release = release.manifest.number
        self._types = release.schema.events
        self._liked = [name for name, value in zip(self._types, release.schema.event_values, strict=True) if value > 0]
        self._reactions = dict(zip(self._types, map(_reaction, release.schema.event_values), strict=True))

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.EVENT_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [
            {"name": "stream_id", "datatype": "BYTES", "shape": [-1]},
            {"name": "duplicate", "datatype": "BOOL", "shape": [-1]},
        ]

    async def preprocess(
        self, payload: object, headers: Mapping[str, str] | None = None
    ) -> tuple[list[EventRequest], InferRequest | None]:
        """Check the events; a body that is one event is a list of one."""
        if isinstance(payload, CloudEvents):
            payload = {"instances": [event.instance(self._types) for event in payload.events]}
        elif isinstance(payload, dict) and "instances" not in payload:
            payload = {"instances": [payload]}
        call = payload if isinstance(payload, InferRequest) else None
        store = self.backend
        if store is None:
            raise StreamUnavailable("events: the stream is not connected yet")
        try:
            codec.check_outputs(call, OUTPUTS)
            events = parse_all(EventRequest, codec.instances(payload, codec.EVENT_TENSORS, codec.EVENT_LEADING))
            for position, event in enumerate(events):
                self._check(event, store.catalog, f"instances[{position}]")
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return events, call

    async def predict(
        self,
        payload: tuple[list[EventRequest], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Append the events, in order: all of a batch or none."""
        events, call = payload
        store = self.backend
        assert store is not None
        now = time.time_ns() // 1_000_000
        entries = [event.model_dump() | {"timestamp": event.timestamp or now} for event in events]
        try:
            tires = store.rules.now.compiled.rules.fatigue is not None
            appended = await append(store.client, entries, self._limits, self._liked if tires else ())
        except StreamFull as error:
            _FULL.inc(len(events))
            raise TooManyEvents(f"events: nothing was stored: {error}") from None
        except NotReplicated as error:
            _NOT_STORED.inc(len(events))
            raise StreamUnavailable(f"events: {error}") from None
        except (RedisError, OSError) as error:
            _NOT_STORED.inc(len(events))
            reason = f"no answer within {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else str(error)
            raise StreamUnavailable(
                f"events: the stream cannot be written ({reason}), nothing is acknowledged; sending them again is "
                "safe where they have an event_id"
            ) from error
        duplicates = sum(one.duplicate for one in appended)
        _DUPLICATE.inc(duplicates)
        _TAKEN.inc(len(appended) - duplicates)
        for event, one in zip(events, appended, strict=True):
            if not one.duplicate:
                self._reactions[event.event].inc()
        if call is None:
            return {"predictions": [one._asdict() for one in appended]}
        return codec.response(call, self.name, self._release, _outputs(appended))

    def _check(self, event: EventRequest, catalog: Catalog, where: str) -> None:
        if event.event not in self._types:
            raise InvalidRequest(f"{where}.event: must be one of {', '.join(self._types)}, got {quote(event.event)}")
        if event.item_id not in catalog:
            raise InvalidRequest(f"{where}.item_id: must be an item of the catalog, got {quote(event.item_id)}")


def _reaction(value: float) -> Counter:
    """The counter of events of a type by the type's value."""
    return _POSITIVE if value > 0 else _NEGATIVE if value < 0 else _ZERO


def _outputs(appended: Sequence[Appended]) -> list[InferOutput]:
    return [
        codec.strings("stream_id", [len(appended)], [one.stream_id for one in appended]),
        InferOutput(name="duplicate", shape=[len(appended)], datatype="BOOL", data=[one.duplicate for one in appended]),
    ]
