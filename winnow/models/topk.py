"""The best items of a whole catalog, exactly, in stages: blocks of items first, then the items of the best blocks.

One top-k over millions of scores is slow, on GPUs most of all. The best k items lie in the k blocks with the highest
maxima, so a top-k over the maxima and another over those blocks' items find the same list. Where there are many blocks,
theirs is found in the same way.

All operations are among those that ONNX Runtime has for GPUs, where one on the CPU in between would take longer than
the others.
"""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from winnow.models.scan import Scan, part, products
from winnow.ranking.context import HIDDEN

_STAGES = ((), *product((64, 128, 256)), *product((64, 128), (16, 32, 64)))
"""Items per block, and blocks per block of blocks: reductions over fewer items leave a GPU idle."""

_STAGE = 16_384
"""Numbers that a top-k could read in the time that one more of them takes to start."""

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
        found = found.topk(found.shape[1], dim=1, largest=False).values
        scores, places = (functional.embedding(found, vectors) @ queries.unsqueeze(2)).squeeze(2).topk(taken, dim=1)
        items = found.gather(1, places)
    if hidden is not None:
        known = (items.unsqueeze(2) == hidden.unsqueeze(1)).any(2)
        scores = torch.where(known, HIDDEN, scores)
    # Padding ranks below what is hidden, so it is no candidate even where a history covers the catalog.
    scores = torch.where(items == 0, 2 * HIDDEN, scores)
    best, places = scores.topk(count, dim=1)
    return items.gather(1, places).to(torch.int32), best


def block_sizes(items: int, taken: int) -> tuple[int, ...]:
    """Items per block, then blocks per block of blocks, with the shortest stages together; empty for one stage.

    Args:
        items: number of scores per query.
        taken: length of the list.
    """

    def cost(sizes: tuple[int, ...]) -> int:
        return items // math.prod(sizes) + taken * sum(sizes) + _STAGE * len(sizes)

    return min((sizes for sizes in _STAGES if items >= 2 * taken * math.prod(sizes) or not sizes), key=cost)


def highest(scored: Callable[[int, int], Tensor], items: int, taken: int) -> tuple[Tensor, Tensor]:
    """The ``taken`` highest scores, and their positions, int64.

    Args:
        scored: the scores [B, last - first] of the positions ``first`` to ``last``.
        items: number of positions.
        taken: length of the lists.
    """
    sizes = block_sizes(items, taken)
    if not sizes:
        return scored(0, items).topk(taken, dim=1)
    whole = items // math.prod(sizes) * math.prod(sizes)
    maxima = [scored(0, whole)]
    for size in sizes:
        maxima.append(_tiled(maxima[-1], size).amax(2))
    best, chosen = maxima[-1].topk(taken, dim=1, sorted=False)
    for level, size in reversed(list(enumerate(sizes))):
        # In the order of the items, so that of equal scores the smaller index stays first. Not sort(), whose length the
        # graph would compute on the CPU.
        chosen = chosen.topk(taken, dim=1, largest=False).values
        found = _tiled(maxima[level], size).gather(1, chosen.unsqueeze(2).expand(-1, -1, size)).flatten(1)
        positions = (chosen.unsqueeze(2) * size + torch.arange(size, device=chosen.device)).flatten(1)
        if level == 0 and whole < items:
            # The items after the last whole block join the last stage: padding would copy all scores.
            found = torch.cat([found, scored(whole, items)], dim=1)
            others = torch.arange(whole, items, device=chosen.device) + 0 * chosen[:, :1]
            positions = torch.cat([positions, others], dim=1)
        best, places = found.topk(taken, dim=1)
        chosen = positions.gather(1, places)
    return best, chosen


def _tiled(scores: Tensor, size: int) -> Tensor:
    """Scores [B, n] as [B, n / size, size]."""
    return scores.view(-1, scores.shape[1] // size, size)
