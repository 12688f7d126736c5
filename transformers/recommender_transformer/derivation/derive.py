"""Derives a live item from the changes of the catalog: its row, vector and document in one release."""

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends import live_items
from recommender_transformer.backends.catalog import INHERITED, OF_RELEASE, LiveItem
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.derivation.embeddings import Embeddings, digest
from recommender_transformer.derivation.stored_content import StoredContent
from winnow.catalog.change import TEXTS, Overlay
from winnow.encoders.caption import caption
from winnow.encoders.inputs import Modality
from winnow.features.row import ItemDescription, RowEncoder, tower_inputs
from winnow.release import Release

_CONCURRENT = 4
"""Items embedded at a time, so that bulk changes leave the models to recommendations."""

_STORED = object()
"""Content that has not changed: the release has its embedding."""

_PENDING = b"pending"
"""``inputs`` of an item that is not available: its vector is computed once it is."""


class Derived(NamedTuple):
    """A derived item.

    Attributes:
        item: the item.
        nearest: int32, the items most similar to its content, best first, itself left out; empty where its vector did
            not have to be computed.
    """

    item: LiveItem
    nearest: NDArray[np.int32]


class Derivation:
    """Derives items of one release.

    Args:
        release: the release.
        store: gives slots, and the vectors of now.
        models: the release's models.
        decoder: prepares content for its encoders.
    """

    def __init__(self, release: Release, store: OnlineStore, models: Models, decoder: MediaDecoder) -> None:
        self._store = store
        self._models = models
        self._widths = decoder.inputs.widths
        self._content = StoredContent(release)
        self._embeddings = Embeddings(models, decoder)
        self._semaphore = asyncio.Semaphore(_CONCURRENT)
        self._rows = RowEncoder(release)

    async def derive(
        self, item_ids: Sequence[str], overlays: Sequence[Overlay], similar: Sequence[bool] | None = None
    ) -> list[Derived]:
        """Derive several items; those that are new get a slot.

        Args:
            item_ids: the items.
            overlays: what the changes of each add up to.
            similar: of which ``nearest`` is wanted although their vectors need not be computed; by default of none.

        Raises:
            NoRoom: the release takes no more new items; nothing is changed.
            RedisError: Redis does not answer.
            grpc.aio.AioRpcError: a model in Triton does not answer.
            OSError: a model in this process fails.
        """
        catalog = self._store.catalog
        indices = [catalog.index_in_release(item_id) for item_id in item_ids]
        new = [item_id for item_id, index in zip(item_ids, indices, strict=True) if not index]
        slots = dict(zip(new, await live_items.slots(self._store, new), strict=True)) if new else {}
        work = (
            self._one(
                item_id, overlay, slots.get(item_id, OF_RELEASE), index or catalog.size + 1 + slots[item_id], wants
            )
            for item_id, overlay, index, wants in zip(
                item_ids, overlays, indices, similar or [False] * len(indices), strict=True
            )
        )
        return await asyncio.gather(*work)

    def document(self, item_id: str, overlay: Overlay) -> dict[str, object]:
        """An item's values in the catalog's columns, as they are with an overlay."""
        index = self._store.catalog.index_in_release(item_id)
        return overlay.document(self._content.document(index) if index else {})

    async def _one(self, item_id: str, overlay: Overlay, slot: int, index: int, similar: bool) -> Derived:
        content, catalog = self._content, self._store.catalog
        nothing = np.empty(0, np.int32)
        if overlay.deleted:
            row = self._rows.changed(self._rows.encode(ItemDescription(), index), {"available": False})
            vector = np.zeros(catalog.dimension, np.float32)
            return Derived(LiveItem(item_id, slot, vector, row, "", {}, True, overlay.version, _PENDING), nothing)
        base = index if slot == OF_RELEASE and overlay.on_base else 0
        start = content.rows[base] if base else self._rows.encode(ItemDescription(), index)
        row = self._rows.changed(start, overlay.values)
        document = self.document(item_id, overlay)
        parts = self._parts(overlay, document, base)
        vector, inputs, nearest = await self._vector(item_id, row, parts, base, index, similar)
        item = LiveItem(item_id, slot, vector, row, str(document.get("title", "")), document, False)
        return Derived(item._replace(version=overlay.version, inputs=inputs), nearest)

    def _parts(self, overlay: Overlay, document: dict[str, object], base: int) -> dict[Modality, object]:
        """The content of each modality with an encoder: `None`, :data:`_STORED`, a text, or bytes."""
        parts: dict[Modality, object] = {}
        for modality in self._widths:
            if modality == "text":
                kept = base and not any(name in overlay.values for name in TEXTS)
                text = caption(*(str(document.get(name) or "") for name in ("title", "category", "description")))
                parts[modality] = _STORED if kept else text or None
            elif modality in overlay.media:
                parts[modality] = overlay.media[modality]
            else:
                parts[modality] = _STORED if base else None
        return parts

    async def _vector(
        self, item_id: str, row: np.void, parts: dict[Modality, object], base: int, index: int, similar: bool
    ) -> tuple[NDArray[np.float32], bytes, NDArray[np.int32]]:
        """The item's vector, the digest of what it was computed from, and the most similar items."""
        catalog, nothing = self._store.catalog, np.empty(0, np.int32)
        categorical, numeric = tower_inputs(np.array([row]))
        read = categorical.tobytes() + numeric.tobytes()
        if not similar and base and all(part is _STORED for part in parts.values()):
            former = tower_inputs(self._content.rows[base : base + 1])
            if read == former[0].tobytes() + former[1].tobytes():
                return self._content.vectors[base], INHERITED, nothing
        inputs = _digest(read, parts)
        known = catalog.inputs(item_id)
        if not similar and known == inputs:
            return catalog.vectors.take(np.array([index]))[0], inputs, nothing
        if not similar and not row["available"]:
            return catalog.vectors.take(np.array([index]))[0], _PENDING, nothing
        async with self._semaphore:
            embedded = [await self._embedding(modality, part, base) for modality, part in parts.items()]
            joined = np.concatenate(embedded)[None] if embedded else np.zeros((1, 1), np.float32)
            found = await self._models.tower(
                {"item_categorical": categorical, "item_numeric": numeric, "embeddings": joined}
            )
        of_content = found.item_vector[0]
        vector = self._content.placed(base, of_content) if base else of_content
        nearest, _ = catalog.corrected(found.candidates[0], found.scores[0], of_content)
        return vector, inputs, nearest[nearest != index]

    async def _embedding(self, modality: Modality, part: object, base: int) -> NDArray[np.float32]:
        if part is _STORED:
            return self._content.embedding(base, modality, self._widths[modality])
        if isinstance(part, str | bytes):
            return await self._embeddings.of(modality, part)
        return np.zeros(self._widths[modality], np.float32)


def _digest(read: bytes, parts: dict[Modality, object]) -> bytes:
    """A digest of what the item tower gets; never :data:`INHERITED`."""
    described = [read]
    for modality, part in parts.items():
        described.append(digest(modality, part) if isinstance(part, str | bytes) else bytes([part is _STORED]))
    return blake2b(b"".join(described), digest_size=16).digest()
