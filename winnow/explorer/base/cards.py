"""Items as pages show them: the values of the release, replaced by those of the live catalog."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.client.answers import ItemRecord, ItemState
from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.stack import Stack
from winnow.request import MAX_INSTANCES


@dataclass(frozen=True)
class Card:
    """An item of a page. All texts are the merchant's, and may contain anything.

    Attributes:
        id: of the item.
        title: the id where the item has none.
        category: empty for none; several are joined by commas.
        price: ``None`` for none.
        available: whether the item can be recommended.
        state: where its values are from.
        has_image: whether ``/media/image`` has its picture.
        has_sound: whether ``/media/sound`` has its sound.
        document: column -> value.
    """

    id: str
    title: str
    category: str
    price: float | None
    available: bool
    state: ItemState
    has_image: bool
    has_sound: bool
    document: dict[str, Any]


async def cards(stack: Stack, release: OpenedRelease, item_ids: Iterable[str]) -> dict[str, Card]:
    """The cards of items by id, each asked from the live catalog.

    Raises:
        WinnowError: the transformer does not answer.
    """
    wanted = list(dict.fromkeys(item_ids))
    records: dict[str, ItemRecord] = {}
    calls = [
        stack.winnow.read_items(wanted[start : start + MAX_INSTANCES]) for start in range(0, len(wanted), MAX_INSTANCES)
    ]
    for found in await asyncio.gather(*calls):
        records.update((record["item_id"], record) for record in found)
    return {
        item_id: _card(release, item_id, records[item_id]["document"], records[item_id]["state"]) for item_id in wanted
    }


def release_cards(release: OpenedRelease, item_ids: Sequence[str]) -> dict[str, Card]:
    """The cards of items by id as the release was built; nothing is asked."""
    return {
        item_id: _card(release, item_id, release.document(item_id), "release" if release.find(item_id) else "unknown")
        for item_id in item_ids
    }


def _card(release: OpenedRelease, item_id: str, document: dict[str, Any], state: ItemState) -> Card:
    media = release.kinds_of_media(item_id)
    category, price = document.get("category"), document.get("price")
    return Card(
        item_id,
        str(document.get("title") or item_id),
        ", ".join(map(str, category)) if isinstance(category, list) else str(category or ""),
        float(price) if isinstance(price, int | float) else None,
        state not in ("disabled", "deleted", "unknown") and document.get("available") is not False,
        state,
        "image" in media,
        "sound" in media,
        document,
    )
