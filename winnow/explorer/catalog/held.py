"""What the catalog's pages keep between requests: facts of releases, changed items, and whose turn it is to scan."""

import asyncio
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.stack import Stack, stack_of
from winnow.explorer.catalog.facts import Facts
from winnow.explorer.catalog.live import LiveEntry, LiveItems, live_items
from winnow.store.connection import RedisError

_KEPT = 2


@dataclass
class HeldCatalog:
    """What is kept, per process.

    Attributes:
        facts: by release.
        live: changed items by release.
        turn: held by a running scan: visitors wait for each other, not for all of the machine's cores.
    """

    facts: dict[int, Facts] = field(default_factory=dict)
    live: dict[int, LiveItems] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def facts_of(self, release: OpenedRelease) -> Facts:
        """The facts of a release."""
        found = self.facts.pop(release.number, None)
        if found is None or found.opened is not release:
            found = await run_in_threadpool(Facts, release)
        self.facts[release.number] = found
        while len(self.facts) > _KEPT:
            del self.facts[next(iter(self.facts))]
        return found

    async def changed(self, stack: Stack, release: int) -> dict[str, LiveEntry] | None:
        """The changed items by id, the latest change last; ``None`` where Redis does not answer."""
        try:
            return (await live_items(stack, release, self.live)).entries
        except RedisError:
            return None


async def opened(request: Request) -> tuple[Stack, Facts, HeldCatalog]:
    """The stack, the facts of the release that it serves, and what is kept.

    Raises:
        WinnowError: the transformer does not answer, or its release cannot be read.
    """
    stack, held = stack_of(request), request.app.state.catalog
    assert isinstance(held, HeldCatalog)
    return stack, await held.facts_of(await stack.served()), held
