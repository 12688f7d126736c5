"""Serving that grows (``python -m benchmarks scale``): every part makes its own data, in temporary folders.

1 the search of a million items, 2 Triton's memory with five million, 3 publishing a million users, 4 Milvus,
5 what `winnow plan` predicts, 6 an approximate search of a million items, 7 of ten million (minutes),
8 the whole chain with ten thousand and with a million items (minutes).
"""

from collections.abc import Callable, Collection

from benchmarks.common.rows import Row
from benchmarks.scale import approximate, chain, milvus, plan, publishing, top_k, triton_memory

PARTS: dict[int, Callable[[], list[Row]]] = {
    1: top_k.measure,
    2: triton_memory.measure,
    3: publishing.measure,
    4: milvus.measure,
    5: plan.measure,
    6: approximate.measure,
    7: approximate.measure_large,
    8: chain.measure,
}


def measure(only: Collection[int]) -> list[Row]:
    """Run parts, one after another.

    Args:
        only: numbers of the parts.
    """
    return [row for number, part in PARTS.items() if number in only for row in part()]
