"""From item ids to indices: a binary search in the sorted hashes of a release, memory-mapped.

A dictionary of a million ids takes seconds to fill and a hundred megabytes in every process; the arrays are shared by
all processes, and only the pages that are searched are read.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.bloom.hashing import lower_halves
from winnow.release import Release


class ItemIndex:
    """Finds items by id.

    Args:
        ids: ids by index; the first is that of the padding item, which is never found.
        hashes: uint64 [n], the lower halves of the hashes of items 1..n, ascending.
        items: int32 [n], the item of each of ``hashes``.
    """

    def __init__(self, ids: Strings, hashes: NDArray[np.uint64], items: NDArray[np.int32]) -> None:
        self._ids, self._hashes, self._items = ids, np.asarray(hashes), np.asarray(items)

    @classmethod
    def of(cls, release: Release) -> "ItemIndex":
        """The index of a release."""
        return cls(release.strings("item_ids"), release.array("sorted_hashes"), release.array("sorted_items"))

    def find(self, item_ids: Sequence[bytes]) -> NDArray[np.int32]:
        """The index of each item: int32 [k], 0 for ids that the release does not have.

        Args:
            item_ids: k ids in UTF-8.
        """
        if not item_ids or not len(self._hashes):
            return np.zeros(len(item_ids), np.int32)
        wanted = lower_halves(item_ids)
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        items = self._items.take(places)
        right = self._ids.are(items, item_ids)
        # Two ids may share the lower half of their hashes: then the right one is among the places that follow.
        for position in np.flatnonzero(~right & (self._hashes.take(places) == wanted)).tolist():
            items[position] = self._among_equals(int(places[position]) + 1, wanted[position], item_ids[position])
            right[position] = True
        items[~right] = 0
        return items

    def _among_equals(self, place: int, wanted: np.uint64, item_id: bytes) -> int:
        while place < len(self._hashes) and self._hashes[place] == wanted:
            item = int(self._items[place])
            if self._ids.encoded(item) == item_id:
                return item
            place += 1
        return 0
