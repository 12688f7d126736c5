"""The key by which all transformers of a Redis sign the ids of recommendations."""

import asyncio
import logging
from secrets import token_bytes

from winnow.store.connection import AsyncClient, RedisError
from winnow.store.keys import SIGNING_KEY

log = logging.getLogger(__name__)

_BYTES = 32
_TIMEOUT_S = 2.0
_EVERY_S = 10.0
"""Seconds between refreshes, after which a Redis that lost its data has the key again."""


class SigningKey:
    """A random key that the first transformer stores in Redis and every other one takes from there.

    Args:
        client: connection to Redis that returns bytes.

    Attributes:
        value: the key; `None` until Redis has answered.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._own = token_bytes(_BYTES)
        self.value: bytes | None = None

    async def refresh(self) -> None:
        """Read the key, after storing one where Redis has none; keeps the last one while Redis does not answer."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._client.set(SIGNING_KEY, self.value or self._own, nx=True)
                held = await self._client.get(SIGNING_KEY)
        except (RedisError, OSError) as error:
            if self.value is None:
                log.warning("the key of recommendation ids cannot be read, so there are no pages yet: %s", error)
            return
        if isinstance(held, bytes) and held:
            self.value = held

    async def follow(self) -> None:
        """Refresh the key for as long as the process serves."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.refresh()
