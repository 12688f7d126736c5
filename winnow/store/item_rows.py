"""Item rows in Redis, read for the parts that do not rank: an item's index, and the hashes of its categories."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.bloom.hashing import item_hashes
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import Keys


@dataclass(frozen=True, slots=True)
class Item:
    """What an item's row says that matters here.

    Attributes:
        index: the item's index.
        categories: hashes of the names of its categories.
    """

    index: int
    categories: tuple[int, ...]


class Items:
    """Items of a release, the fresh ones included, as Redis has them.

    Args:
        client: connection to Redis, answering bytes.
        release: whose items.
    """

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self._keys = Keys(release.manifest.number)
        self._dtype = release.schema.item_dtype
        self._reader = RowReader(release)

    def read(self, item_ids: Collection[str]) -> dict[str, Item]:
        """The items that Redis knows of those asked for, in one round trip.

        Raises:
            RedisError: Redis does not answer.
        """
        wanted = list(dict.fromkeys(item_ids))
        pipe = self._client.pipeline(transaction=False)
        for item_id in wanted:
            pipe.get(self._keys.item(item_id))
        rows = zip(wanted, pipe.execute(), strict=True)
        whole = [(item_id, row) for item_id, row in rows if isinstance(row, bytes) and len(row) == self._dtype.itemsize]
        return {item_id: self._reader.read(np.frombuffer(row, self._dtype)[0]) for item_id, row in whole}


class RowReader:
    """Reads packed item rows.

    Args:
        release: whose rows.
    """

    def __init__(self, release: Release) -> None:
        self._width = release.schema.item[0].width
        self._hashes = list(item_hashes(release.vocabularies.get("category", ())))

    def read(self, row: np.void) -> Item:
        """The item of a row."""
        return Item(int(row["index"]), tuple(self.categories(row["categorical"])))

    def categories(self, categorical: NDArray[np.int32]) -> list[int]:
        """Hashes of the categories of items, each once.

        Args:
            categorical: int32 [..., C], the categorical columns of their rows.
        """
        codes = np.unique(categorical[..., : self._width]).tolist()
        return [self._hashes[code] for code in codes if 0 < code < len(self._hashes)]
