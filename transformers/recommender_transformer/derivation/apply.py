"""Applies changes: stores each with what this release derives from it, or none of them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.derivation.derive import Derivation, Derived
from winnow.catalog.append import CatalogLimits, Known, append, read
from winnow.catalog.change import AVAILABLE, Change, Overlay, position
from winnow.request import InvalidRequest, quote

ItemState = Literal["release", "new", "changed", "disabled", "deleted", "unknown"]


class Asked(NamedTuple):
    """What a caller asks of one item.

    Attributes:
        item_id: the item.
        change: the change; `None` to read the item.
        similar: whether a reader wants the most similar items.
    """

    item_id: str
    change: Change | None = None
    similar: bool = False


class Outcome(NamedTuple):
    """What became of it.

    Attributes:
        overlay: what the item's changes add up to now.
        state: the item's.
        changed: whether this call changed the item.
        replaced: whether the catalog had the item before.
        derived: the item in this release, where it had to be derived.
    """

    overlay: Overlay
    state: ItemState
    changed: bool
    replaced: bool
    derived: Derived | None


class CatalogChanges:
    """Changes and reads items by one transformer.

    Args:
        store: of its release.
        derivation: derives items for the release.
        limits: bounds of the stream of changes.
    """

    def __init__(
        self,
        store: OnlineStore,
        derivation: Derivation,
        limits: CatalogLimits = CatalogLimits(),  # noqa: B008
    ) -> None:
        self._store = store
        self._derivation = derivation
        self._limits = limits

    async def apply(self, asked: Sequence[Asked], caller: str = "") -> list[Outcome]:
        """Apply changes of distinct items: all of them or none.

        Items are derived before anything is stored, from the overlays as they were read. Where another call has changed
        one of them meanwhile, all starts again; the caller bounds the time.

        Args:
            asked: the changes and reads.
            caller: who sends them; "" if unknown.

        Raises:
            InvalidRequest: an item that is taken down or deleted does not exist.
            NoRoom: the release takes no more new items.
            CatalogFull: the stream takes no more changes.
            RedisError: Redis does not answer; what was stored is stored again when the changes are sent again.
            grpc.aio.AioRpcError: a model in Triton does not answer.
            OSError: a model in this process fails.
        """
        store, changes = self._store, [one.change or Change(one.item_id) for one in asked]
        while True:
            known = await read(store.client, changes)
            after = [self._after(n, one, held) for n, (one, held) in enumerate(zip(asked, known, strict=True))]
            new = [n for n, overlay in enumerate(after) if not overlay.says_the_same(known[n].overlay)]
            wanted = [n for n, one in enumerate(asked) if n in new or self._has_to_derive(one, after[n])]
            ids, overlays = [asked[n].item_id for n in wanted], [after[n] for n in wanted]
            results = await self._derivation.derive(ids, overlays, [asked[n].similar for n in wanted])
            if new:
                given = [changes[n] for n in new], [known[n].overlay for n in new]
                appended = await append(store.client, *given, self._limits, store.keys.release, caller)
                if appended is None:
                    continue
                for n, overlay in zip(new, appended, strict=True):
                    after[n] = overlay
            replaced = [one.item_id in store.catalog for one in asked]
            derived = dict(zip(wanted, results, strict=True))
            items = [one.item._replace(version=after[n].version) for n, one in derived.items() if asked[n].change]
            await live_items.write(store, items)
            store.learn(items)
            return [
                Outcome(after[n], self._state(one.item_id, after[n]), n in new, replaced[n], derived.get(n))
                for n, one in enumerate(asked)
            ]

    def document(self, item_id: str, overlay: Overlay) -> dict[str, object]:
        """The item's values in the catalog's columns; empty for one that does not exist."""
        return self._derivation.document(item_id, overlay) if self._exists(item_id, overlay) else {}

    def _after(self, number: int, one: Asked, known: Known) -> Overlay:
        """The overlay of an item after a change; the same one where it changes nothing."""
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
        return not overlay.deleted if overlay.version else item_id in self._store.catalog

    def _has_to_derive(self, one: Asked, overlay: Overlay) -> bool:
        """Whether an item that stays as it is must be derived: for its neighbours, or as its process died before."""
        if one.change is None:
            return one.similar and self._exists(one.item_id, overlay)
        return position(self._store.catalog.version(one.item_id)) < position(overlay.version)

    def _state(self, item_id: str, overlay: Overlay) -> ItemState:
        if overlay.deleted:
            return "deleted"
        if not self._exists(item_id, overlay):
            return "unknown"
        if self._derivation.document(item_id, overlay).get(AVAILABLE) is False:
            return "disabled"
        if not self._store.catalog.index_in_release(item_id):
            return "new"
        return "changed" if overlay.version else "release"
