"""The best items of a whole catalog, exactly, in two stages: blocks of items first, then the items of the best blocks.

One top-k over millions of scores is slow on GPUs. The best k items lie in the k blocks with the highest maxima, so a
top-k over the maxima and another over those blocks' items find the same list.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from winnow.models.scan import Scan, part, products
from winnow.ranking.context import HIDDEN

_BLOCKS = (64, 128, 256)
"""Items per block, a power of two: reductions over fewer leave a GPU idle."""

_MORE = 4
"""A coarse scan proposes one item in so many more than the list is long."""


def best_items(
    queries: Tensor, vectors: Tensor, count: int, hidden: Tensor | None = None, scan: Scan | None = None
) -> tuple[Tensor, Tensor]:
    """The items with the highest product with each query, best first; of equal ones the smaller index first.

    Hidden items are dropped from a list that is longer by as many, instead of being overwritten among all scores,
    which would copy them. Where the list still needs them, they come last, with the score ``HIDDEN``.

    Args:
        queries: float32 [B, D].
        vectors: float32 [n + 1, D]; row 0 is padding and never returned.
        count: ``K``, at most ``n``.
        hidden: int32 [B, L], items to hide; 0 hides none.
        scan: the items' vectors in another precision, whose best items are scored again with ``vectors``; nearly all
            of the exact list is among them. ``None`` scans ``vectors``.

    Returns:
        items int32 [B, K] and their scores float32 [B, K].
    """
    length = len(vectors)
    taken = min(length, count + 1 + (hidden.shape[1] if hidden is not None else 0))
    if scan is None:
        scores, items = highest(lambda *rows: products(queries, part(vectors, *rows)), length, taken)
    else:
        _, found = highest(lambda *rows: scan(queries, *rows), length, min(length, taken + taken // _MORE))
        found = found.sort(dim=1).values
        scores, places = (functional.embedding(found, vectors) @ queries.unsqueeze(2)).squeeze(2).topk(taken, dim=1)
        items = found.gather(1, places)
    if hidden is not None:
        known = (items.unsqueeze(2) == hidden.unsqueeze(1)).any(2)
        scores = torch.where(known, HIDDEN, scores)
    # Padding ranks below what is hidden, so it is no candidate even where a history covers the catalog.
    scores = torch.where(items == 0, 2 * HIDDEN, scores)
    best, places = scores.topk(count, dim=1)
    return items.gather(1, places).to(torch.int32), best


def block_size(items: int, taken: int) -> int | None:
    """Items per block that make both stages small together; ``None`` where one stage is no longer.

    Args:
        items: number of scores per query.
        taken: length of the list.
    """
    ideal = math.sqrt(items / taken)
    size = min(_BLOCKS, key=lambda block: abs(math.log(block / ideal)))
    return size if items >= 2 * taken * size else None


def highest(scored: Callable[[int, int], Tensor], items: int, taken: int) -> tuple[Tensor, Tensor]:
    """The ``taken`` highest scores, and their positions, int64.

    Args:
        scored: the scores [B, last - first] of the positions ``first`` to ``last``.
        items: number of positions.
        taken: length of the lists.
    """
    size = block_size(items, taken)
    if size is None:
        return scored(0, items).topk(taken, dim=1)
    blocks = items // size
    tiled = scored(0, blocks * size).view(-1, blocks, size)
    chosen = tiled.amax(2).topk(taken, dim=1, sorted=False).indices
    # In the order of the items, so that of equal scores the smaller index stays first.
    chosen = chosen.sort(dim=1).values
    found = tiled.gather(1, chosen.unsqueeze(2).expand(-1, -1, size)).flatten(1)
    if items % size:
        # The items after the last whole block are one more block of those chosen: padding would copy all scores.
        found = torch.cat([found, scored(blocks * size, items)], dim=1)
        chosen = functional.pad(chosen, (0, 1), value=blocks)
    best, places = found.topk(taken, dim=1)
    # Rounded to zero, which is one operator: a quotient that is rounded down is exported as eight.
    return best, chosen.gather(1, torch.div(places, size, rounding_mode="trunc")) * size + places % size
