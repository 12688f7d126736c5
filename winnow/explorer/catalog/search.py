"""Search of a release's items by title and id: a scan of the mapped texts, block by block, with a bound on its time.

A million titles take some tens of megabytes, which one core reads in a fraction of a second: an index would cost every
build and every machine more than it saves a visitor. The memory that a scan takes is that of one block.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings

MAX_HITS = 10_000
"""A scan ends when it has found so many items."""

MAX_SECONDS = 2.0
"""A scan ends after so long; the page says which part of the catalog it has covered."""

MAX_WORDS = 8
"""Words of a query that are looked for."""

_BLOCK = 512
"""Items whose texts are tested together before they are tested one by one."""

_FEW = 64
"""So many items of a block are tested one by one at once."""


@dataclass(frozen=True)
class Found:
    """The result of a scan.

    Attributes:
        items: int32, indices in ascending order.
        scanned: items that were searched.
        complete: whether those are all items.
        seconds: that the scan took.
    """

    items: NDArray[np.int32]
    scanned: int
    complete: bool
    seconds: float


def folded(text: str) -> str:
    """A text as it is compared: without case, and with one form of each character."""
    return normalize("NFKC", text).casefold()


def words_of(query: str) -> list[str]:
    """The words of a query, folded, each once; at most :data:`MAX_WORDS`."""
    return list(dict.fromkeys(folded(query).split()))[:MAX_WORDS]


def matches(words: Sequence[str], *texts: str) -> bool:
    """Whether each word is in some of the texts."""
    whole = folded("\n".join(texts))
    return all(word in whole for word in words)


def scan(
    texts: Sequence[Strings],
    words: Sequence[str],
    within: NDArray[np.bool_] | None = None,
    seconds: float = MAX_SECONDS,
) -> Found:
    """Find the items that have each word in some of their texts.

    Args:
        texts: the columns, each n + 1 strings by item index; the first is of the padding item.
        words: folded; at least one.
        within: bool [n + 1], the items that count; ``None`` for all.
        seconds: bound on the time.
    """
    began = time.monotonic()
    count = len(texts[0]) if texts else 1
    hits: list[int] = []
    first = 1
    while first < count and len(hits) < MAX_HITS and time.monotonic() - began < seconds:
        last = min(first + _BLOCK, count)
        if within is None or within[first:last].any():
            hits += _in_block(texts, words, within, first, last)
        first = last
    items = np.array(hits[:MAX_HITS], np.int32)
    return Found(items, first - 1, first >= count and len(hits) <= MAX_HITS, time.monotonic() - began)


def _in_block(
    texts: Sequence[Strings], words: Sequence[str], within: NDArray[np.bool_] | None, first: int, last: int
) -> list[int]:
    items = np.arange(first, last) if within is None else first + np.flatnonzero(within[first:last])
    if len(items) > _FEW:
        blocks = [folded(_joined(column, first, last)) for column in texts]
        if not all(any(word in block for block in blocks) for word in words):
            return []
    columns = [column.at(items) for column in texts]
    return [
        index
        for index, of_item in zip(items.tolist(), zip(*columns, strict=True), strict=True)
        if matches(words, *of_item)
    ]


def _joined(column: Strings, first: int, last: int) -> str:
    """The texts of a block, one after another; a word that lies across two of them is no match, but is looked at."""
    return str(column.text[column.offsets[first] : column.offsets[last]].data, "utf-8")
