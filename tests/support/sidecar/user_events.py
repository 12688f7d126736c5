"""Events of a test's users, appended as the ``events`` model does."""

import asyncio
from typing import Any

from winnow.feedback.append import AppendOptions, append
from winnow.store.connection import connect_async

LATER = 1_900_000_000_000
"""After every event of the tiny release."""


def send_events(url: str, *events: dict[str, Any]) -> list[Any]:
    """Append a batch."""

    async def send() -> list[Any]:
        client = connect_async(url)
        try:
            return await append(client, events, AppendOptions())
        finally:
            await client.aclose()

    return asyncio.run(send())


def event(user_id: str, item: int | str, kind: str = "view", timestamp: int = LATER, **more: str) -> dict[str, Any]:
    """An event with an item of the tiny release, by its number, or with any item, by its id."""
    item_id = f"item-{item}" if isinstance(item, int) else item
    return {"user_id": user_id, "item_id": item_id, "event": kind, "timestamp": timestamp} | more
