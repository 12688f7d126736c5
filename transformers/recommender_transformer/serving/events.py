"""The ``events`` model on the KServe server: takes what happened and appends it to the event stream."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from fastapi import Request
from fastapi.responses import JSONResponse
from grpc_interceptor.exceptions import GrpcException
from kserve import InferOutput, InferRequest, InferResponse, Model  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]
from prometheus_client import Counter
from pydantic import Field

from recommender_transformer.backends.online import OnlineStore
from recommender_transformer.serving.protocols import codec
from recommender_transformer.serving.protocols.cloudevents import CloudEvents
from winnow import fields, moments
from winnow.feedback.append import TIMEOUT_S, Appended, AppendOptions, NotReplicated, StreamFull, append
from winnow.fields import Happened, Identifier
from winnow.release import Release
from winnow.request import Contract, InvalidRequest, parse_all, quote
from winnow.store.connection import RedisError

NAME = "events"
OUTPUTS = ("stream_id", "duplicate")

_EVENTS = Counter("winnow_events_total", "Events that were sent, by what became of them.", ("outcome",))
# There from the start: a counter that appears with its first fault has no rate for it.
_TAKEN, _DUPLICATE, _FULL, _NOT_STORED = map(_EVENTS.labels, ("taken", "duplicate", "full", "not_stored"))

_RETRY_AFTER_S = 30
"""When to try again where the stream is full: an export takes seconds, but somebody has to start it."""


class NewEvent(Contract):
    """One event; without a timestamp it happened now.

    With an ``event_id`` it may be sent again without being taken twice. That of a CloudEvent is its source and id.
    """

    user_id: Identifier = Field(description=fields.LENGTH)
    item_id: Identifier = Field(description=fields.LENGTH)
    event: Identifier = Field(description="a declared event type")
    timestamp: Happened | None = Field(default=None, description=moments.IN_WORDS)
    event_id: Identifier | None = Field(default=None, description=fields.LENGTH)


class StreamUnavailable(ServerNotReady):  # type: ignore[misc]
    """The event stream cannot be written: 503, because an event that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


class TooManyEvents(GrpcException):
    """The event stream is full: 429 and RESOURCE_EXHAUSTED, because what nobody has kept must not be trimmed."""

    status_code = grpc.StatusCode.RESOURCE_EXHAUSTED


async def too_many_events(request: Request, error: Exception) -> JSONResponse:
    """The answer to :class:`TooManyEvents` over HTTP."""
    assert isinstance(error, TooManyEvents)
    return JSONResponse({"error": error.details}, status_code=429, headers={"Retry-After": str(_RETRY_AFTER_S)})


class EventsModel(Model):  # type: ignore[misc]
    """Checks events against the release and appends them; the answer is the stream's id of each.

    Args:
        release: whose event types are known.
        connect: gives the store, inside the server's event loop.
        limits: what an event has to meet in Redis before it is acknowledged.
    """

    def __init__(self, release: Release, connect: Callable[[], Awaitable[OnlineStore]], limits: AppendOptions) -> None:
        super().__init__(NAME)
        self._limits = limits
        self._release = release.manifest.number
        self._types = release.schema.events
        self._connect = connect
        self._store: OnlineStore | None = None
        # As for the recommender: ready at registration, taken back until the store is there.
        self.ready = True
        self.engine = True

    def start(self) -> None:
        """Called before the event loop runs: nothing can be taken yet."""
        self.ready = False

    async def start_engine(self) -> None:
        """Called inside the event loop: connect."""
        self._store = await self._connect()
        self.ready = True

    def load(self) -> bool:
        """KServe calls this on a model that is not ready; it cannot be hurried."""
        return bool(self.ready)

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
    ) -> tuple[list[NewEvent], InferRequest | None]:
        """Check; a body that is one event counts as a list of one."""
        if isinstance(payload, CloudEvents):
            payload = {"instances": [event.instance(self._types) for event in payload.events]}
        elif isinstance(payload, dict) and "instances" not in payload:
            payload = {"instances": [payload]}
        call = payload if isinstance(payload, InferRequest) else None
        if self._store is None:
            raise StreamUnavailable("events: the stream is not connected yet")
        known = self._store.catalog.item_index
        try:
            codec.check_outputs(call, OUTPUTS)
            events = parse_all(NewEvent, codec.instances(payload, codec.EVENT_TENSORS, codec.EVENT_LEADING))
            for position, event in enumerate(events):
                self._check(event, known, f"instances[{position}]")
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return events, call

    def validate(self, payload: object) -> object:
        """Checked in ``preprocess``."""
        return payload

    async def predict(
        self,
        payload: tuple[list[NewEvent], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Append all, in order: a batch is taken whole or not at all."""
        events, call = payload
        assert self._store is not None
        now = time.time_ns() // 1_000_000
        given = [event.model_dump() | {"timestamp": event.timestamp or now} for event in events]
        try:
            appended = await append(self._store.client, given, self._limits)
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
        if call is None:
            return {"predictions": [one._asdict() for one in appended]}
        return codec.response(call, self.name, self._release, _outputs(appended))

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Not offered."""
        raise InvalidInput("explain: is not offered")

    def _check(self, event: NewEvent, known: Mapping[str, int], where: str) -> None:
        if event.event not in self._types:
            raise InvalidRequest(f"{where}.event: must be one of {', '.join(self._types)}, got {quote(event.event)}")
        if event.item_id not in known:
            raise InvalidRequest(f"{where}.item_id: must be an item of the catalog, got {quote(event.item_id)}")


def _outputs(appended: Sequence[Appended]) -> list[InferOutput]:
    return [
        codec.strings("stream_id", [len(appended)], [one.stream_id for one in appended]),
        InferOutput(name="duplicate", shape=[len(appended)], datatype="BOOL", data=[one.duplicate for one in appended]),
    ]
