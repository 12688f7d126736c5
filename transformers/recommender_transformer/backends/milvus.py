"""Asynchronous client of a release's collection in Milvus."""

import asyncio
import logging

import numpy as np
from numpy.typing import NDArray

from winnow.milvus.collection import VECTOR, collection_name, search_parameters
from winnow.milvus.connection import connect_async
from winnow.release import Release

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 30.0
"""Time-out of a call. The funnel's deadline cancels a search long before."""

_NOT_LOADED = 101
"""Milvus' error code for a collection that is not in memory, such as after a restart of Milvus Lite."""


class MilvusUnavailable(OSError):
    """Milvus does not answer, or cannot search the collection."""


class MilvusItems:
    """The items of one release in Milvus. Create it inside the running event loop.

    Args:
        release: the release; its own collection is searched and no other.
        url: address of Milvus.
    """

    def __init__(self, release: Release, url: str) -> None:
        self._client = connect_async(url)
        self._collection = collection_name(release)
        self._loading: asyncio.Task[None] | None = None

    async def nearest(
        self, vector: NDArray[np.float32], limit: int, expression: str
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The items with the largest product of ``vector`` and item vector.

        Args:
            vector: float32 [D].
            limit: number of items at most.
            expression: the condition that they meet (:func:`winnow.milvus.collection.expression`).

        Returns:
            int32 [k], item indices, best first, and float32 [k], the products.

        Raises:
            MilvusUnavailable: Milvus does not answer or refuses the search.
        """
        from pymilvus import MilvusException

        try:
            [hits] = await self._client.search(
                self._collection,
                data=[vector],
                anns_field=VECTOR,
                limit=limit,
                filter=expression,
                search_params=search_parameters(limit),
                timeout=_CALL_TIMEOUT_S,
            )
        except MilvusException as error:
            if error.code == _NOT_LOADED:
                self._load()
            raise MilvusUnavailable(error.message) from error
        return np.array(hits.ids, np.int32), np.array(hits.distances, np.float32)

    async def warm_up(self) -> None:
        """Connect, so that the first search does not wait for it; a failure is only logged."""
        from pymilvus import MilvusException

        try:
            await self._client.get_load_state(self._collection, timeout=1.0)
        except MilvusException as error:
            log.warning("Milvus does not answer: %s", error.message)

    async def close(self) -> None:
        """Close the connection."""
        if self._loading is not None:
            self._loading.cancel()
        await self._client.close()

    def _load(self) -> None:
        """Load the collection in the background, once at a time; searches fail until it is loaded."""
        if self._loading is None or self._loading.done():
            log.warning("%s is not loaded in Milvus: loading it", self._collection)
            self._loading = asyncio.create_task(self._load_collection())

    async def _load_collection(self) -> None:
        from pymilvus import MilvusException

        try:
            await self._client.load_collection(self._collection, timeout=_CALL_TIMEOUT_S)
        except MilvusException as error:
            log.warning("%s cannot be loaded: %s", self._collection, error.message)
