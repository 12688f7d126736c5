"""The items that were added, changed or deleted since the release was built, followed in the release's stream."""

from dataclasses import dataclass
from typing import Any

import orjson

from winnow.explorer.base.stack import Stack
from winnow.store.keys import Keys

KEPT = 20_000
"""Items that are remembered: those of the newest changes."""

_BATCH, _BATCHES = 500, 40
"""Entries of a read, and reads of a page: what a page does not reach, the next one does."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """What a search needs of a changed item.

    Attributes:
        title: empty for none.
        categories: empty for none.
        deleted: whether it was.
        new: whether the release does not have it.
    """

    title: str
    categories: tuple[str, ...]
    deleted: bool
    new: bool


class LiveItems:
    """The changed items of one release.

    Args:
        release: number of the release.
    """

    def __init__(self, release: int) -> None:
        self._stream = Keys(release).live_item_stream
        self._last = "-"
        self._entries: dict[str, LiveEntry] = {}

    @property
    def entries(self) -> dict[str, LiveEntry]:
        """The items by id, the latest change last."""
        return self._entries

    async def follow(self, stack: Stack) -> None:
        """Read what is new in the stream.

        Raises:
            RedisError: Redis does not answer.
        """
        redis: Any = stack.redis
        for _ in range(_BATCHES):
            read = await redis.xrange(self._stream, self._last, "+", _BATCH)
            for entry_id, fields in read:
                self._last = f"({entry_id.decode()}"
                item_id = fields[b"item_id"].decode()
                self._entries.pop(item_id, None)
                self._entries[item_id] = _entry(fields)
            while len(self._entries) > KEPT:
                del self._entries[next(iter(self._entries))]
            if len(read) < _BATCH:
                return


async def live_items(stack: Stack, release: int, held: dict[int, LiveItems]) -> LiveItems:
    """The changed items of a release, followed until now.

    Args:
        stack: the stack.
        release: number of the release.
        held: those that were followed before, by release; only that of ``release`` stays.

    Raises:
        RedisError: Redis does not answer.
    """
    for other in [number for number in held if number != release]:
        del held[other]
    followed = held.setdefault(release, LiveItems(release))
    await followed.follow(stack)
    return followed


def _entry(fields: dict[bytes, bytes]) -> LiveEntry:
    document = orjson.loads(fields.get(b"document") or b"{}")
    category = document.get("category") or ()
    return LiveEntry(
        str(document.get("title") or ""),
        (category,) if isinstance(category, str) else tuple(map(str, category)),
        fields.get(b"deleted") == b"1",
        int(fields.get(b"slot", b"-1")) >= 0,
    )
