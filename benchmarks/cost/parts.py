"""What a recommendation costs (``python -m benchmarks cost``), with the newest release of the home.

1 CPU time, latency and throughput, beside an earlier version; 2 CPU time by what the transformer does; 4 equal lists of
both versions, over all protocols and in batches.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.rows import Row
from benchmarks.cost import breakdown, lists, speed


@dataclass(frozen=True)
class Beside:
    """What to compare with.

    Attributes:
        before: a checkout of an earlier version, with its own ``.venv``.
        gorse: Gorse's executable.
    """

    before: Path | None = None
    gorse: Path | None = None


PARTS: dict[int, Callable[[Beside], list[Row]]] = {
    1: lambda beside: speed.measure(beside.before),
    2: lambda _: breakdown.measure(),
    4: lambda beside: lists.measure(beside.before),
}


def measure(only: Collection[int], beside: Beside) -> list[Row]:
    """Run parts, one after another.

    Args:
        only: numbers of the parts.
        beside: what to compare with.
    """
    return [row for number, part in PARTS.items() if number in only for row in part(beside)]
