"""Reads the offline lists of users (:mod:`winnow.retrieval.offline_lists`)."""

import asyncio
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval import offline_lists
from winnow.store.connection import AsyncClient, RedisError
from winnow.store.keys import Keys

_POLL_S = 30.0
"""Interval at which a process looks whether there are lists; requests do not."""


class OfflineLists:
    """The lists of one release.

    Args:
        client: connection to Redis that returns bytes.
        keys: the release's keys.
        items: number of items of the release.

    Attributes:
        exist: whether the release had lists when this process last looked.
    """

    def __init__(self, client: AsyncClient, keys: Keys, items: int) -> None:
        self._client = client
        self._keys = keys
        self._items = items
        self.exist = False

    async def read(self, user_id: str) -> NDArray[np.int32]:
        """int32 [<= :data:`winnow.retrieval.offline_lists.LENGTH`], best first; empty for a user without a list.

        Raises:
            RedisError: Redis does not answer.
            ValueError: the value is no list of the release.
        """
        packed = await self._client.get(self._keys.offline_list(user_id))
        return offline_lists.decode(packed if isinstance(packed, bytes) else b"", self._items)

    async def look(self) -> None:
        """Set ``exist``.

        Raises:
            RedisError: Redis does not answer.
        """
        self.exist = bool(await self._client.exists(self._keys.lists))

    async def follow(self) -> None:
        """Look every half minute, until cancelled; while Redis fails, the last result stays."""
        task = asyncio.current_task()
        assert task is not None
        # asyncio.wait_for, which the client uses, can swallow a cancellation in Python 3.11.
        while not task.cancelling():
            with suppress(RedisError, OSError):
                await self.look()
            await asyncio.sleep(_POLL_S)
