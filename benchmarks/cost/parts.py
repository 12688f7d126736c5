"""What a recommendation costs (``python -m benchmarks cost``), with the newest release of the home.

1 CPU time, latency and throughput, beside an earlier version; 2 CPU time by what the transformer does; 3 the embedded
predictor and reuse; 4 equal lists of both versions, over all protocols and in batches; 5 Gorse.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.rows import Row
from benchmarks.cost import breakdown, cheaper, gorse, lists, speed

GORSE = 5


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
    3: lambda beside: cheaper.measure(beside.before),
    4: lambda beside: lists.measure(beside.before),
    GORSE: lambda beside: gorse.measure(beside.gorse) if beside.gorse else [],
}


def measure(only: Collection[int], beside: Beside) -> list[Row]:
    """Run parts, one after another.

    Args:
        only: numbers of the parts.
        beside: what to compare with.
    """
    return [row for number, part in PARTS.items() if number in only for row in part(beside)]
