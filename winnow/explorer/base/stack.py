"""The running stack as the explorer sees it: clients with time-outs, and which release is served."""

import time
from dataclasses import dataclass
from typing import Any, cast

import httpx
from redis.asyncio import Redis
from starlette.requests import Request

from winnow.client import AsyncWinnow, NoAnswer
from winnow.explorer.base.items import OpenedRelease, Releases
from winnow.explorer.base.settings import ExplorerSettings
from winnow.store.connection import connect_async

TIMEOUT_S = 10.0
"""Of each call. The transformer's own deadlines are shorter, except for items with large pictures."""

_FRESH_S = 5.0
"""For so long the number of the served release is not asked for again."""


@dataclass
class Stack:
    """Clients of a stack, and its releases.

    Attributes:
        settings: of the explorer.
        winnow: client of the transformer.
        http: plain client, for metrics and documents.
        redis: connection to Redis, which is read only.
        releases: of the home.
    """

    settings: ExplorerSettings
    winnow: AsyncWinnow
    http: httpx.AsyncClient
    redis: Redis
    releases: Releases

    @classmethod
    def of(cls, settings: ExplorerSettings) -> "Stack":
        """Connect; nothing is sent before the first call."""
        key = settings.api_key
        return cls(
            settings,
            # A page that waits for retries is worse than one that says what is wrong.
            AsyncWinnow(settings.transformer, api_key=key, timeout_s=TIMEOUT_S, retries=1),
            httpx.AsyncClient(timeout=TIMEOUT_S, headers={"authorization": f"Bearer {key}"} if key else {}),
            cast(Redis, connect_async(settings.redis_url)),
            Releases(settings.home),
        )

    def __post_init__(self) -> None:
        self._served: tuple[float, int] | None = None

    async def served(self) -> OpenedRelease:
        """The release that the transformer serves.

        Raises:
            NoAnswer: the transformer does not answer.
            WinnowError: the home does not have that release.
        """
        return self.releases.open(await self.served_number())

    async def served_number(self) -> int:
        """The number of the release that the transformer serves.

        Raises:
            NoAnswer: the transformer does not answer.
        """
        now = time.monotonic()
        if self._served is None or now - self._served[0] > _FRESH_S:
            self._served = (now, await self._ask_number())
        return self._served[1]

    async def answer(self, **request: Any) -> dict[str, Any]:
        """One recommendation; fields that are ``None`` are left out.

        Raises:
            EndpointError: the transformer refuses the request; the message names the field.
            NoAnswer: it does not answer.
        """
        given = {name: value for name, value in request.items() if value is not None}
        [answer] = await self.winnow.recommend_all([given])
        self._served = (time.monotonic(), answer["release"])
        return dict(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self.winnow.close()
        await self.http.aclose()
        await self.redis.aclose()

    async def _ask_number(self) -> int:
        url = f"{self.settings.transformer}/openapi.json"
        try:
            response = await self.http.get(url)
            response.raise_for_status()
            return int(response.json()["info"]["version"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise NoAnswer(f"no answer from {url}: {error or type(error).__name__}") from error


def stack_of(request: Request) -> Stack:
    """The stack of the application that handles a request."""
    return cast(Stack, request.app.state.stack)
