"""The ``events`` model on the KServe server: takes what happened and appends it to the event stream."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kserve import InferRequest, InferResponse, Model  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]
from pydantic import Field

from recommender_transformer import codec
from winnow.release import Release
from winnow.request import Contract, Identifier, InvalidRequest, parse_all, quote
from winnow.store.connection import RedisError
from winnow.store.keys import EVENTS
from winnow.store.online import OnlineStore

NAME = "events"
OUTPUTS = ("event_id",)

_APPEND = """
local ids = {}
for first = 1, #ARGV, 4 do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', 'user_id', ARGV[first], 'item_id', ARGV[first + 1],
    'event', ARGV[first + 2], 'timestamp', ARGV[first + 3])
end
return ids
"""
"""Not a transaction of the client's: on a cluster, redis-py runs each of its commands in a thread with an event loop of
its own, over connections that belong to another loop, while this one waits."""

_AHEAD_MS = 60_000
"""How far the sender's clock may be ahead of ours."""


class Event(Contract):
    """One event; without a timestamp it happened now."""

    user_id: Identifier = Field(description="a string of 1 to 256 characters")
    item_id: Identifier = Field(description="a string of 1 to 256 characters")
    event: Identifier = Field(description="a declared event type")
    timestamp: int | None = Field(default=None, gt=0, description="milliseconds since the epoch")


class StreamUnavailable(ServerNotReady):  # type: ignore[misc]
    """The event stream cannot be written: 503, because an event that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


class EventsModel(Model):  # type: ignore[misc]
    """Checks events against the release and appends them; the answer is the stream's id of each.

    Args:
        release: whose event types are known.
        connect: gives the store, inside the server's event loop.
    """

    def __init__(self, release: Release, connect: Callable[[], Awaitable[OnlineStore]]) -> None:
        super().__init__(NAME)
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
        return [{"name": "event_id", "datatype": "BYTES", "shape": [-1]}]

    async def preprocess(
        self, payload: object, headers: Mapping[str, str] | None = None
    ) -> tuple[list[Event], InferRequest | None]:
        """Check; a body that is one event (as a CloudEvent's data is) counts as a list of one."""
        if isinstance(payload, dict) and "instances" not in payload:
            payload = {"instances": [payload]}
        call = payload if isinstance(payload, InferRequest) else None
        if self._store is None:
            raise StreamUnavailable("events: the stream is not connected yet")
        known = self._store.catalog.item_index
        try:
            codec.check_outputs(call, OUTPUTS)
            events = parse_all(Event, codec.instances(payload, codec.EVENT_TENSORS, codec.EVENT_LEADING))
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
        payload: tuple[list[Event], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Append all, in order and in one script: a batch is taken whole or not at all."""
        events, call = payload
        assert self._store is not None
        now = time.time_ns() // 1_000_000
        fields = [
            field
            for event in events
            for field in (event.user_id, event.item_id, event.event, str(event.timestamp or now))
        ]
        try:
            ids = [added.decode() for added in await self._store.client.eval(_APPEND, 1, EVENTS, *fields)]
        except RedisError as error:
            raise StreamUnavailable(f"events: the stream cannot be written, nothing was stored: {error}") from error
        if call is None:
            return {"predictions": [{"event_id": event_id} for event_id in ids]}
        return codec.response(call, self.name, self._release, [codec.strings("event_id", [len(ids)], ids)])

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Not offered."""
        raise InvalidInput("explain: is not offered")

    def _check(self, event: Event, known: Mapping[str, int], where: str) -> None:
        if event.event not in self._types:
            raise InvalidRequest(f"{where}.event: must be one of {', '.join(self._types)}, got {quote(event.event)}")
        if event.item_id not in known:
            raise InvalidRequest(f"{where}.item_id: must be an item of the catalog, got {quote(event.item_id)}")
        if event.timestamp is not None and event.timestamp > time.time_ns() // 1_000_000 + _AHEAD_MS:
            raise InvalidRequest(f"{where}.timestamp: must not lie in the future, got {event.timestamp}")
