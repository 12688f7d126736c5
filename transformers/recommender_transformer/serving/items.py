"""The ``items`` model of the KServe server: adds items that are newer than the release.

An item's content is embedded as that of a query is, and its feature row is computed as feature extraction does. The
item is acknowledged once Redis holds both; from then on every transformer of the release can recommend it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
import numpy as np
import orjson
from kserve import InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]
from pydantic import Field

from recommender_transformer.backends import new_items
from recommender_transformer.backends.catalog import NewItem
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.models import SimilarItems
from recommender_transformer.content.media_decoder import DecodedContent, EncodedContent
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.protocols import codec
from winnow import fields, moments
from winnow.encoders.caption import caption
from winnow.encoders.inputs import EncoderInputs
from winnow.features.row import ItemDescription, RowEncoder
from winnow.fields import Created, Identifier
from winnow.release import Release
from winnow.request import Contract, InvalidRequest, Media, parse_all, quote
from winnow.store.connection import RedisError

NAME = "items"
OUTPUTS = ("answer",)

_MAX_CONCURRENT = 4
"""Items embedded at a time, so that bulk additions leave the models to recommendations."""

_TIMEOUT_S = 10.0
_NEAREST = 3
_MAX_VALUES = 100


class ItemRequest(Contract):
    """One item, with the columns of ``items.csv``; only the id is required."""

    item_id: Identifier = Field(description=fields.LENGTH)
    title: str | None = Field(default=None, max_length=1000, description="a string of at most 1000 characters")
    description: str | None = Field(default=None, max_length=20_000, description="a string of at most 20000 characters")
    category: str | None = Field(default=None, max_length=256, description="a string of at most 256 characters")
    price: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="a number of at least 0")
    available: bool = Field(default=True, description="true or false")
    created_at: Created | None = Field(default=None, description=moments.IN_WORDS)
    image: Media | None = Field(
        default=None, description='an object {"b64": ...} with the image in base64 (URLs are not fetched)'
    )
    audio: Media | None = Field(
        default=None, description='an object {"b64": ...} with the sound in base64 (URLs are not fetched)'
    )
    features: dict[str, Any] = Field(default_factory=dict, max_length=1000, description="an object of declared columns")


class ItemsUnavailable(ServerNotReady):  # type: ignore[misc]
    """Items cannot be embedded or stored: 503, because an item that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


@dataclass(frozen=True)
class CheckedItem:
    """An item that passed every check, with its decoded content and the inputs of its feature row."""

    item: ItemRequest
    content: DecodedContent
    description: ItemDescription


class ItemsModel(ConnectedModel[Pipeline]):
    """Checks items against the release, embeds them and stores them.

    Args:
        release: gives the declared columns and their encoding.
        store: stores the items.
        connect: returns the funnel's pipeline; called inside the server's event loop.
    """

    def __init__(self, release: Release, store: OnlineStore, connect: Callable[[], Awaitable[Pipeline]]) -> None:
        super().__init__(NAME, connect)
        self._release = release.manifest.number
        self._store = store
        self._rows = RowEncoder(release)
        self._semaphore = asyncio.Semaphore(_MAX_CONCURRENT)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.ITEM_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]

    async def preprocess(
        self, payload: object, headers: Mapping[str, str] | None = None
    ) -> tuple[list[CheckedItem], InferRequest | None]:
        """Check the items and decode their content."""
        call = payload if isinstance(payload, InferRequest) else None
        pipeline = self.backend
        if pipeline is None:
            raise ItemsUnavailable("items: the models are not connected yet")
        try:
            codec.check_outputs(call, OUTPUTS)
            items = parse_all(ItemRequest, codec.instances(payload, codec.ITEM_TENSORS, codec.ITEM_LEADING))
            descriptions = [self._describe(item, f"instances[{n}]") for n, item in enumerate(items)]
            _check_distinct(items)
            decoder = pipeline.media_decoder
            contents = await decoder.decode_all(
                [_content(item, decoder.inputs) for item in items], [f"instances[{n}]" for n in range(len(items))]
            )
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return [CheckedItem(*parts) for parts in zip(items, contents, descriptions, strict=True)], call

    async def predict(
        self,
        payload: tuple[list[CheckedItem], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Embed and store the items, then acknowledge them."""
        checked, call = payload
        replaced = [one.item.item_id in self._store.catalog for one in checked]
        try:
            rows = [self._rows.encode(one.description, 0) for one in checked]
            async with asyncio.timeout(_TIMEOUT_S):
                similar = await asyncio.gather(
                    *(self._find_similar(one.content, row) for one, row in zip(checked, rows, strict=True))
                )
            slots = await new_items.slots(self._store, [one.item.item_id for one in checked])
            items = []
            for one, row, found, slot in zip(checked, rows, similar, slots, strict=True):
                row["index"] = self._store.catalog.size + 1 + slot
                title, document = one.item.title or "", _document(one)
                items.append(NewItem(one.item.item_id, slot, found.item_vector[0], row, title, document))
            await new_items.write(self._store, items)
        except new_items.NoRoom as error:
            raise InvalidInput(f"instances: {error}") from None
        except RedisError as error:
            raise ItemsUnavailable(f"items: Redis cannot be written, no item is acknowledged: {error}") from error
        except (grpc.aio.AioRpcError, OSError) as error:
            reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
            raise ItemsUnavailable(
                f"items: the encoders or the item tower do not answer ({reason}); nothing was stored"
            ) from error
        self._store.learn(items)
        answers = [
            {"item_id": item.item_id, "replaced": was_replaced, "nearest": self._nearest(found)}
            for item, was_replaced, found in zip(items, replaced, similar, strict=True)
        ]
        if call is None:
            return {"predictions": answers}
        texts = [orjson.dumps(answer).decode() for answer in answers]
        return codec.response(call, self.name, self._release, [codec.strings("answer", [len(texts)], texts)])

    async def _find_similar(self, content: DecodedContent, row: np.void) -> SimilarItems:
        pipeline = self.backend
        assert pipeline is not None
        async with self._semaphore:
            return await pipeline.content_lookup.find(content, row)

    def _nearest(self, similar: SimilarItems) -> list[str]:
        return [self._store.catalog.item_id(index) for index in similar.candidates[0, :_NEAREST].tolist()]

    def _describe(self, item: ItemRequest, where: str) -> ItemDescription:
        if self._store.catalog.is_of_release(item.item_id):
            raise InvalidRequest(
                f"{where}.item_id: must be the id of a new item, but release {self._release} contains "
                f"{quote(item.item_id)}; the next build applies changes to it"
            )
        categorical: dict[str, Sequence[str]] = {}
        numeric: dict[str, float] = {}
        for name, value in item.features.items():
            field = f"{where}.features.{quote(name)[1:-1]}"
            if name in self._rows.categorical:
                categorical[name] = _values(value, field)
            elif name in self._rows.numeric:
                numeric[name] = _number(value, field)
            else:
                declared = ", ".join((*self._rows.categorical, *self._rows.numeric)) or "none"
                raise InvalidRequest(f"{field}: is not a declared column of the release; it has {declared}")
        return ItemDescription(item.category or "", item.price, item.available, item.created_at, categorical, numeric)


def _content(item: ItemRequest, inputs: EncoderInputs) -> EncodedContent:
    """The content to embed. A title is also displayed, so it is valid even if the release has no text encoder."""
    text = caption(item.title, item.category, item.description) if inputs.text is not None else None
    return {"text": text or None, "image": item.image, "audio": item.audio}


def _document(checked: CheckedItem) -> dict[str, Any]:
    """The item's values in the catalog's columns."""
    item, described = checked.item, checked.description
    values = {
        "title": item.title,
        "description": item.description,
        "category": item.category,
        "price": item.price,
        "created_at": item.created_at,
        "available": item.available,
        **{name: list(texts) for name, texts in described.categorical.items() if item.features[name] is not None},
        **{name: number for name, number in described.numeric.items() if not math.isnan(number)},
    }
    return {name: value for name, value in values.items() if value is not None}


def _check_distinct(items: Sequence[ItemRequest]) -> None:
    first: dict[str, int] = {}
    for position, item in enumerate(items):
        if item.item_id in first:
            raise InvalidRequest(
                f"instances[{position}].item_id: must be given once, but instances[{first[item.item_id]}] is "
                f"{quote(item.item_id)} too"
            )
        first[item.item_id] = position


def _values(value: object, where: str) -> Sequence[str]:
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or len(values) > _MAX_VALUES or not all(isinstance(one, str) for one in values):
        raise InvalidRequest(
            f"{where}: must be a string or a list of at most {_MAX_VALUES} strings, got {quote(value)}"
        )
    return values


def _number(value: object, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"{where}: must be a finite number, got {quote(value)}")
    return float(value)
