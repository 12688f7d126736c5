"""A change of an item, and what the changes of an item add up to.

Serving and builds use the same function (:meth:`Overlay.after`), so that an item has the same document in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["upsert", "disable", "enable", "delete"]

AVAILABLE = "available"
TEXTS = ("title", "description", "category")
"""The columns that the text encoder reads."""

CANONICAL = (*TEXTS, "price", AVAILABLE, "created_at")
"""The canonical columns of an item, its id and its media aside."""

MEDIA: tuple[Literal["image", "audio"], ...] = ("image", "audio")


@dataclass(frozen=True)
class Change:
    """One change of one item.

    Attributes:
        item_id: the item.
        action: what to do with it.
        values: column -> value, of an upsert; ``None`` clears the column, and an absent column keeps its value.
        media: ``image`` or ``audio`` -> its content (bytes when serving, a path in a build), likewise.
        change_id: with it the change can be sent again without being applied twice.
    """

    item_id: str
    action: Action = "upsert"
    values: Mapping[str, Any] = field(default_factory=dict)
    media: Mapping[str, Any] = field(default_factory=dict)
    change_id: str | None = None


@dataclass(frozen=True)
class Overlay:
    """What the changes of an item add up to.

    Attributes:
        version: id of the latest change in the stream; "" without one.
        on_base: whether it lies over the item of the data set; false once the item was deleted, even if an upsert has
            revived it since: it then has the values of ``values`` alone.
        deleted: whether the item is deleted.
        values: column -> value that replaces the data set's; ``None`` for a cleared one.
        media: ``image`` or ``audio`` -> content, likewise.
    """

    version: str = ""
    on_base: bool = True
    deleted: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    media: Mapping[str, Any] = field(default_factory=dict)

    def after(self, change: Change, version: str) -> "Overlay":
        """The overlay with one more change.

        Args:
            change: the change. Disabling and enabling leave a deleted item deleted.
            version: its id in the stream.
        """
        if change.action == "delete":
            return Overlay(version, on_base=False, deleted=True)
        if change.action != "upsert":
            if self.deleted:
                return self
            values = {**self.values, AVAILABLE: change.action == "enable"}
            return Overlay(version, self.on_base, False, values, self.media)
        values, media = {**self.values, **change.values}, {**self.media, **change.media}
        return Overlay(version, self.on_base, False, values, media)

    def says_the_same(self, other: "Overlay") -> bool:
        """Whether another overlay gives the same item."""
        return (self.on_base, self.deleted, self.values, self.media) == (
            other.on_base,
            other.deleted,
            other.values,
            other.media,
        )

    def document(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the item: column -> value, without columns that have none.

        An item is available unless its values say that it is not.

        Args:
            base: those of the data set; empty for an item that it lacks.
        """
        if self.deleted:
            return {}
        merged = {**(base if self.on_base else {}), **self.values}
        if merged.get(AVAILABLE) is None:
            merged[AVAILABLE] = True
        return {name: value for name, value in merged.items() if value is not None}


def position(version: str) -> tuple[int, int]:
    """A change's place in the order of the stream; (0, 0) for ""."""
    milliseconds, _, sequence = version.partition("-")
    return int(milliseconds or 0), int(sequence or 0)
