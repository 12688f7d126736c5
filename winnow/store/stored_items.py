"""Items as Redis stores them, for the code that applies events: an item's index and the hashes of its categories."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import item_hashes
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import Keys


@dataclass(frozen=True, slots=True)
class StoredItem:
    """The fields of an item's row that an event needs.

    Attributes:
        index: index of the item.
        categories: hashes of the names of its categories, as the category filters hold them.
    """

    index: int
    categories: tuple[int, ...]


class StoredItems:
    """The items of a release in Redis, new items included.

    Args:
        client: connection to Redis that returns bytes.
        release: the published release.
    """

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self._keys = Keys(release.manifest.number)
        self._dtype = release.schema.item_dtype
        self._categories = CategoryHashes(release)

    def read(self, item_ids: Collection[str]) -> dict[str, StoredItem]:
        """Read items in one round trip; an id without a whole row in Redis is absent from the result.

        Raises:
            RedisError: Redis does not answer.
        """
        distinct = list(dict.fromkeys(item_ids))
        pipe = self._client.pipeline(transaction=False)
        for item_id in distinct:
            pipe.get(self._keys.item(item_id))
        found: dict[str, StoredItem] = {}
        for item_id, packed in zip(distinct, pipe.execute(), strict=True):
            if isinstance(packed, bytes) and len(packed) == self._dtype.itemsize:
                [row] = np.frombuffer(packed, self._dtype)
                found[item_id] = StoredItem(int(row["index"]), tuple(self._categories.of(row["categorical"])))
        return found


class CategoryHashes:
    """Maps the categorical columns of item rows to category hashes.

    Args:
        release: whose schema and category vocabulary the rows were packed with.

    Attributes:
        table: the hash of each category of the vocabulary, by code.
    """

    def __init__(self, release: Release) -> None:
        # The category is the first item feature of every schema.
        self._width = release.schema.item[0].width
        self.table = item_hashes(release.vocabularies.get("category", ()))
        self._hashes = list(self.table)

    def codes(self, categorical: NDArray[np.int32]) -> NDArray[np.int32]:
        """The category codes of items; 0 for none and for codes beyond the vocabulary.

        Args:
            categorical: int32 [..., C], the categorical columns of their rows.
        """
        codes = categorical[..., : self._width]
        return np.where((codes > 0) & (codes < len(self._hashes)), codes, 0)

    def of(self, categorical: NDArray[np.int32]) -> list[int]:
        """The distinct category hashes of one or more items.

        Args:
            categorical: int32 [..., C], the categorical columns of their rows.
        """
        return [self._hashes[code] for code in np.unique(self.codes(categorical)).tolist() if code]
