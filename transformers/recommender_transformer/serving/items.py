"""The ``items`` model of the KServe server: changes and reads any item, of the release or new.

A change is acknowledged once Redis holds it and what the release derives from it (feature row, vector, document). From
then on every transformer of the release serves the item so, and every other release derives it for itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import grpc.aio
import orjson
from kserve import InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.derivation.apply import Asked, CatalogChanges, Outcome
from recommender_transformer.serving.access import caller
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.events import TooManyEvents
from recommender_transformer.serving.item_changes import ItemRequest, change_of, check_distinct, media_of
from recommender_transformer.serving.protocols import codec
from winnow.catalog.append import CatalogFull
from winnow.catalog.change import Change
from winnow.features.row import RowEncoder
from winnow.release import Release
from winnow.request import InvalidRequest, parse_all
from winnow.store.connection import RedisError

NAME = "items"
OUTPUTS = ("answer",)

_TIMEOUT_S = 25.0
"""For 64 items of large encoders on a busy machine; below the time-out of clients, which then get a reason."""


class ItemsUnavailable(ServerNotReady):  # type: ignore[misc]
    """Items cannot be embedded or stored: 503, because a change that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


class CheckedItem(NamedTuple):
    """A request that passed every check of its own; ``change`` is `None` for a read."""

    request: ItemRequest
    change: Change | None


class ItemsModel(ConnectedModel[CatalogChanges]):
    """Checks changes against the release, stores them, and derives the items for this release.

    Args:
        release: gives the declared columns and their encoding.
        store: stores the items.
        connect: returns what applies changes; called inside the server's event loop.
        decoder: returns what decodes media; called once connected.
    """

    def __init__(
        self,
        release: Release,
        store: OnlineStore,
        connect: Callable[[], Awaitable[CatalogChanges]],
        decoder: Callable[[], MediaDecoder],
    ) -> None:
        super().__init__(NAME, connect)
        self._release = release.manifest.number
        self._store = store
        self._rows = RowEncoder(release)
        self._decoder = decoder

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.ITEM_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]

    async def preprocess(
        self, payload: object, headers: Mapping[str, str] | None = None
    ) -> tuple[list[CheckedItem], InferRequest | None]:
        """Check the requests, and that their media can be decoded."""
        call = payload if isinstance(payload, InferRequest) else None
        if self.backend is None:
            raise ItemsUnavailable("items: the models are not connected yet")
        try:
            codec.check_outputs(call, OUTPUTS)
            items = parse_all(ItemRequest, codec.instances(payload, codec.ITEM_TENSORS, codec.ITEM_LEADING))
            places = [f"instances[{n}]" for n in range(len(items))]
            check_distinct(items)
            await self._decoder().decode_all(list(map(media_of, items)), places)
            changes = [
                None if item.action == "read" else change_of(item, self._rows, place)
                for item, place in zip(items, places, strict=True)
            ]
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return [CheckedItem(*parts) for parts in zip(items, changes, strict=True)], call

    async def predict(
        self,
        payload: tuple[list[CheckedItem], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Store the changes with what this release derives from them, then acknowledge them."""
        checked, call = payload
        assert self.backend is not None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                outcomes = await self.backend.apply(list(map(_asked, checked)), caller.current().name)
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        except live_items.NoRoom as error:
            raise InvalidInput(f"instances: {error}") from None
        except CatalogFull as error:
            raise TooManyEvents(f"items: nothing was stored: {error}") from None
        except RedisError as error:
            raise ItemsUnavailable(f"items: Redis cannot be written, no item is acknowledged: {error}") from error
        except (grpc.aio.AioRpcError, OSError) as error:
            reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
            raise ItemsUnavailable(
                f"items: the encoders or the item tower do not answer ({reason}); no item is acknowledged, and sending "
                "them again is safe"
            ) from error
        answers = [self._answer(*each) for each in zip(checked, outcomes, strict=True)]
        if call is None:
            return {"predictions": answers}
        texts = [orjson.dumps(answer).decode() for answer in answers]
        return codec.response(call, self.name, self._release, [codec.strings("answer", [len(texts)], texts)])

    def _answer(self, one: CheckedItem, outcome: Outcome) -> dict[str, Any]:
        request, derived = one.request, outcome.derived
        nearest = [] if derived is None else derived.nearest[: request.nearest].tolist()
        answer = {
            "item_id": request.item_id,
            "action": request.action,
            "state": outcome.state,
            "nearest": list(map(self._store.catalog.item_id, nearest)),
        }
        if one.change is not None:
            return answer | {"changed": outcome.changed, "replaced": outcome.replaced}
        assert self.backend is not None
        document = self.backend.document(request.item_id, outcome.overlay)
        return answer | {"document": document, "version": outcome.overlay.version}


def _asked(one: CheckedItem) -> Asked:
    wants_nearest = "nearest" in one.request.model_fields_set and one.request.nearest > 0
    return Asked(one.request.item_id, one.change, one.change is None and wants_nearest)
