"""The ``items`` model of the KServe server: changes and reads any item, of the release or new.

A change is acknowledged once Redis holds it and what the release derives from it (feature row, vector, document). From
then on every transformer of the release serves the item so, and every other release derives it for itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import grpc.aio
import orjson
from kserve import InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.derivation.derive import Derivation, Derived
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.events import TooManyEvents
from recommender_transformer.serving.item_changes import ItemRequest, change_of, check_distinct, media_of
from recommender_transformer.serving.protocols import codec
from winnow.catalog.append import CatalogFull, CatalogLimits, Known, append, read
from winnow.catalog.change import AVAILABLE, Change, Overlay, position
from winnow.release import Release
from winnow.request import InvalidRequest, parse_all, quote
from winnow.store.connection import RedisError

NAME = "items"
OUTPUTS = ("answer",)

ItemState = Literal["release", "new", "changed", "disabled", "deleted", "unknown"]

_TIMEOUT_S = 10.0


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


class Outcome(NamedTuple):
    """What became of a request.

    Attributes:
        overlay: what the item's changes add up to now.
        changed: whether this call changed the item.
        derived: the item in this release, where it had to be derived.
        replaced: whether the catalog had the item before.
    """

    overlay: Overlay
    changed: bool
    derived: Derived | None
    replaced: bool


class ItemsModel(ConnectedModel[Derivation]):
    """Checks changes against the release, stores them, and derives the items for this release.

    Args:
        release: gives the declared columns and their encoding.
        store: stores the items.
        connect: returns what derives items; called inside the server's event loop.
        limits: bounds of the stream of changes.
    """

    def __init__(
        self,
        release: Release,
        store: OnlineStore,
        connect: Callable[[], Awaitable[Derivation]],
        limits: CatalogLimits = CatalogLimits(),  # noqa: B008
    ) -> None:
        super().__init__(NAME, connect)
        self._release = release.manifest.number
        self._store = store
        self._limits = limits

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
        derivation = self.backend
        if derivation is None:
            raise ItemsUnavailable("items: the models are not connected yet")
        try:
            codec.check_outputs(call, OUTPUTS)
            items = parse_all(ItemRequest, codec.instances(payload, codec.ITEM_TENSORS, codec.ITEM_LEADING))
            places = [f"instances[{n}]" for n in range(len(items))]
            check_distinct(items)
            await derivation.decoder.decode_all(list(map(media_of, items)), places)
            changes = [
                None if item.action == "read" else change_of(item, derivation.rows, place)
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
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                outcomes = await self._apply(checked)
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

    async def _apply(self, checked: Sequence[CheckedItem]) -> list[Outcome]:
        """Read, derive, append; again from the start where another call has changed one of the items meanwhile."""
        derivation, store = self.backend, self._store
        assert derivation is not None
        changes = [one.change or Change(one.request.item_id) for one in checked]
        while True:
            known = await read(store.client, changes)
            after = [self._after(n, one, held) for n, (one, held) in enumerate(zip(checked, known, strict=True))]
            new = [n for n, overlay in enumerate(after) if not overlay.says_the_same(known[n].overlay)]
            wanted = [n for n, one in enumerate(checked) if n in new or self._has_to_derive(one, after[n])]
            ids, overlays = [changes[n].item_id for n in wanted], [after[n] for n in wanted]
            results = await derivation.derive(ids, overlays, [checked[n].change is None for n in wanted])
            if new:
                given = [changes[n] for n in new], [known[n].overlay for n in new]
                appended = await append(store.client, *given, self._limits, self._release, caller="")
                if appended is None:
                    continue
                for n, overlay in zip(new, appended, strict=True):
                    after[n] = overlay
            replaced = [change.item_id in store.catalog for change in changes]
            derived = dict(zip(wanted, results, strict=True))
            items = [
                one.item._replace(version=after[n].version)
                for n, one in derived.items()
                if checked[n].change is not None
            ]
            await live_items.write(store, items)
            store.learn(items)
            return [Outcome(after[n], n in new, derived.get(n), replaced[n]) for n in range(len(checked))]

    def _after(self, number: int, one: CheckedItem, known: Known) -> Overlay:
        """The overlay of an item after its request; the same one where the request changes nothing."""
        overlay, change = known.overlay, one.change
        if change is None or known.applied or (change.action == "delete" and overlay.deleted):
            return overlay
        if change.action != "upsert" and not self._exists(change.item_id, overlay):
            raise InvalidRequest(
                f"instances[{number}].item_id: must be an item of the catalog to {change.action} it, got "
                f"{quote(change.item_id)}"
            )
        return overlay.after(change, overlay.version)

    def _exists(self, item_id: str, overlay: Overlay) -> bool:
        if overlay.version:
            return not overlay.deleted
        return item_id in self._store.catalog

    def _has_to_derive(self, one: CheckedItem, overlay: Overlay) -> bool:
        """Whether an item that stays as it is must be derived: for its neighbours, or as its process died before."""
        if one.change is None:
            asked = "nearest" in one.request.model_fields_set and one.request.nearest > 0
            return asked and self._exists(one.request.item_id, overlay)
        return position(self._store.catalog.version(one.request.item_id)) < position(overlay.version)

    def _answer(self, one: CheckedItem, outcome: Outcome) -> dict[str, Any]:
        item_id, catalog = one.request.item_id, self._store.catalog
        nearest = [] if outcome.derived is None else outcome.derived.nearest[: one.request.nearest].tolist()
        answer = {
            "item_id": item_id,
            "action": one.request.action,
            "state": self._state(item_id, outcome.overlay),
            "nearest": list(map(catalog.item_id, nearest)),
        }
        if one.change is not None:
            return answer | {"changed": outcome.changed, "replaced": outcome.replaced}
        assert self.backend is not None
        return answer | {
            "document": self.backend.document(item_id, outcome.overlay),
            "version": outcome.overlay.version,
        }

    def _state(self, item_id: str, overlay: Overlay) -> ItemState:
        if overlay.deleted:
            return "deleted"
        if not self._exists(item_id, overlay):
            return "unknown"
        assert self.backend is not None
        if self.backend.document(item_id, overlay).get(AVAILABLE) is False:
            return "disabled"
        if not self._store.catalog.index_in_release(item_id):
            return "new"
        return "changed" if overlay.version else "release"
