"""The business rules in force in this process: those of the release, or the live ones in Redis."""

import asyncio
import logging
from typing import Any, NamedTuple

from winnow.items.columns import ItemColumns
from winnow.release import Release
from winnow.rules.compiled import CompiledRules
from winnow.settings.business_rules import FILE
from winnow.settings.file import SettingsError
from winnow.store.business import rules
from winnow.store.connection import AsyncClient, RedisError
from winnow.store.keys import RULES

log = logging.getLogger(__name__)

_POLL_S = 0.5
"""Interval at which a process looks at the version of the live rules; requests do not."""


class InForce(NamedTuple):
    """Rules in force.

    Attributes:
        compiled: the rules.
        version: their version; 0 for those of the release.
        serial: another number for other rules, in this process.
        degraded: why they are those of the release although there may be live ones; empty where they are right.
    """

    compiled: CompiledRules
    version: int
    serial: int
    degraded: str = ""


class RulesInForce:
    """Follows the live rules of a release's process.

    Until the live rules were read, those of the release apply; once they were, the last ones stay in force while Redis
    does not answer. Live rules that do not suit the release, whose columns may be others than those that they were
    checked against, are not applied in part: the release's apply, and every answer says so in ``degraded``.

    Args:
        release: the release.
        columns: its columns.
        client: connection to Redis that returns bytes.

    Attributes:
        now: the rules in force.
    """

    def __init__(self, release: Release, columns: ItemColumns, client: AsyncClient) -> None:
        self._columns = columns
        self._client = client
        path = release.folder / FILE
        text = path.read_text() if FILE in release.manifest.files else ""
        self._of_release = CompiledRules.read(text, self._columns, str(path))
        self._looked_at: int | None = None
        self.now = InForce(self._of_release, 0, 0)

    async def look(self) -> None:
        """Read the live rules if their version has changed.

        Raises:
            RedisError: Redis does not answer.
        """
        found: Any = await self._client.hget(RULES, "version")
        version = int(found) if found and found.isdigit() else 0
        if version != self._looked_at:
            entries: Any = await self._client.hgetall(RULES)
            await self._apply(dict(entries))
            self._looked_at = version

    async def try_to_look(self) -> None:
        """Look; while Redis fails, the rules stay, and answers say so where none were ever read."""
        try:
            await self.look()
        except (RedisError, OSError):
            if self._looked_at is None:
                self._use(self._of_release, 0, "the live rules were not read")

    async def follow(self) -> None:
        """Look twice a second, until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        # asyncio.wait_for, which the client uses, can swallow a cancellation in Python 3.11.
        while not task.cancelling():
            await asyncio.sleep(_POLL_S)
            await self.try_to_look()

    async def _apply(self, entries: dict[bytes, bytes]) -> None:
        try:
            live = rules.decode(entries)
            compiled = self._of_release
            if live.rules:
                origin = f"version {live.version}"
                # In a thread: a hundred filters take longer to parse than a request may wait.
                compiled = await asyncio.to_thread(CompiledRules.read, live.rules, self._columns, origin)
        except (SettingsError, ValueError, KeyError) as error:
            log.warning("the live rules are not applied: %s", error)
            self._use(self._of_release, 0, "the live rules do not suit the release")
            return
        self._use(compiled, live.version if live.rules else 0)

    def _use(self, compiled: CompiledRules, version: int, degraded: str = "") -> None:
        before = self.now
        if (compiled, version, degraded) != (before.compiled, before.version, before.degraded):
            self.now = InForce(compiled, version, before.serial + 1, degraded)
