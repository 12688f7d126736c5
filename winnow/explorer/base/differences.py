"""What changed between two lists: places won and lost, new items, items that are gone."""

from collections.abc import Sequence
from typing import NamedTuple


class Difference(NamedTuple):
    """How a list differs from one before.

    Attributes:
        moved: id of each item of both lists -> places up (negative: down).
        new: ids that the list before did not have, in order.
        gone: ids that the list no longer has, in their order before.
    """

    moved: dict[str, int]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def words(self) -> str:
        """The difference in a sentence."""
        shifted = sum(bool(places) for places in self.moved.values())
        if not (self.new or self.gone or shifted):
            return "The list is the same as before."
        return f"Compared with before: {len(self.new)} new, {len(self.gone)} gone, {shifted} moved."


def difference(before: Sequence[str], after: Sequence[str]) -> Difference:
    """Compare two lists of distinct ids."""
    places = {item_id: place for place, item_id in enumerate(before)}
    moved = {item_id: places[item_id] - place for place, item_id in enumerate(after) if item_id in places}
    held = set(after)
    return Difference(
        moved,
        tuple(item_id for item_id in after if item_id not in places),
        tuple(item_id for item_id in before if item_id not in held),
    )
