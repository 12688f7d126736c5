"""The arrays of a release that follow from its item ids."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.bloom.hashing import ItemHashes, item_hashes
from winnow.release import Release


def id_arrays(item_ids: Strings | Iterable[str]) -> dict[str, Strings | NDArray[Any]]:
    """Name -> array, for :func:`winnow.release.write`; docs/reference.md lists them.

    Args:
        item_ids: ids by index; the first is "", of the padding item.
    """
    ids = item_ids if isinstance(item_ids, Strings) else Strings.of(item_ids)
    hashes = item_hashes(ids)
    lower = hashes.halves[1:, 0]
    order = np.argsort(lower, kind="stable")
    return {
        "item_ids": ids,
        "item_hashes": hashes.halves,
        "item_hash_words": hashes.table,
        "sorted_hashes": lower[order],
        "sorted_items": (order + 1).astype(np.int32),
    }


def hashes_of(release: Release) -> ItemHashes:
    """The hashes of a release's items by index, memory-mapped."""
    return ItemHashes(release.array("item_hashes"), release.array("item_hash_words"))
