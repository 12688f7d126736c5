"""The contract of the ``items`` model: what a caller may send, and the change that it stands for."""

import base64
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from recommender_transformer.content.media_decoder import EncodedContent
from recommender_transformer.serving.declared_values import declared_value
from winnow import fields, moments
from winnow.catalog.change import CANONICAL, MEDIA, Change
from winnow.features.row import RowEncoder
from winnow.fields import Created, Identifier
from winnow.request import Contract, InvalidRequest, Media, quote

ItemAction = Literal["upsert", "disable", "enable", "delete", "read"]

MAX_NEAREST = 100


class ItemRequest(Contract):
    """One change of an item, or a read of it; only the id is required.

    Of an upsert the columns of ``items.csv`` that are given change, and the others keep their value. ``null`` clears a
    column, as does its name in ``clear`` (tensors have no null).
    """

    item_id: Identifier = Field(description=fields.LENGTH)
    title: str | None = Field(default=None, max_length=1000, description="a string of at most 1000 characters")
    description: str | None = Field(default=None, max_length=20_000, description="a string of at most 20000 characters")
    category: str | None = Field(default=None, max_length=256, description="a string of at most 256 characters")
    price: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="a number of at least 0")
    available: bool | None = Field(default=None, description="true, false or null")
    created_at: Created | None = Field(default=None, description=moments.IN_WORDS)
    image: Media | None = Field(
        default=None, description='an object {"b64": ...} with the image in base64 (URLs are not fetched)'
    )
    audio: Media | None = Field(
        default=None, description='an object {"b64": ...} with the sound in base64 (URLs are not fetched)'
    )
    features: dict[str, Any] = Field(default_factory=dict, max_length=1000, description="an object of declared columns")
    clear: list[str] = Field(default_factory=list, max_length=1000, description="a list of names of columns")
    action: ItemAction = Field(default="upsert", description="upsert, disable, enable, delete or read")
    change_id: Identifier | None = Field(default=None, description=fields.LENGTH)
    nearest: int = Field(default=3, ge=0, le=MAX_NEAREST, description=f"a whole number from 0 to {MAX_NEAREST}")


def change_of(item: ItemRequest, rows: RowEncoder, where: str) -> Change:
    """The change that a request stands for.

    Args:
        item: the request; not a read.
        rows: knows the declared columns.
        where: path of the request in its call, for messages.

    Raises:
        InvalidRequest: a declared column is unknown or of another type, or a field does not go with the action.
    """
    given = item.model_fields_set - {"item_id", "action", "change_id", "nearest"}
    if item.action != "upsert":
        if given:
            raise InvalidRequest(f"{where}.{min(given)}: does not go with the action {item.action}; omit it")
        return Change(item.item_id, item.action, change_id=item.change_id)  # type: ignore[arg-type]
    values: dict[str, Any] = {name: getattr(item, name) for name in CANONICAL if name in given}
    media: dict[str, bytes | None] = {name: _bytes(getattr(item, name)) for name in MEDIA if name in given}
    for name, value in item.features.items():
        values[name] = declared_value(name, value, rows, "items", f"{where}.features")
    for name in item.clear:
        if name in MEDIA:
            media[name] = None
        elif name in CANONICAL or name in rows.categorical or name in rows.numeric:
            values[name] = None
        else:
            columns = ", ".join((*CANONICAL, *MEDIA, *rows.categorical, *rows.numeric))
            raise InvalidRequest(f"{where}.clear: {quote(name)} is not a column; the columns are {columns}")
    return Change(item.item_id, "upsert", values, media, item.change_id)


def check_distinct(items: Sequence[ItemRequest]) -> None:
    """Check that no item is changed twice in one call.

    Raises:
        InvalidRequest: one is.
    """
    first: dict[str, int] = {}
    for position, item in enumerate(items):
        if item.item_id in first:
            raise InvalidRequest(
                f"instances[{position}].item_id: must be given once, but instances[{first[item.item_id]}] is "
                f"{quote(item.item_id)} too"
            )
        first[item.item_id] = position


def media_of(item: ItemRequest) -> EncodedContent:
    """The media of a request, to be checked by decoding them."""
    return {"image": item.image, "audio": item.audio}


def _bytes(media: Media | None) -> bytes | None:
    # Decoding has checked that it is base64.
    return None if media is None else base64.b64decode(media.b64)
