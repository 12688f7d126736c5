"""Training that grows (``python -m benchmarks training``): every part makes its own data, in a temporary home.

1 a step's time, 2 a large log, 3 quality, 4 processes, 5 losses, 6 another library, 7 the largest log, which takes
hours, 8 processor seconds of a build, 9 training on from a release beside training in full. Part 3 reads real data
beside the repository, as do 4 to 6, 8 and 9.
"""

from collections.abc import Callable, Collection

from benchmarks.common.data_sets import files
from benchmarks.common.rows import Row, row
from benchmarks.training import ablation, build_cost, going_on, large_log, peer, processes, quality, steps
from benchmarks.value.subjects import temporary_home

PEER_MINUTES = 10


def _peer() -> list[Row]:
    found = peer.measure(files("beauty", "*.inter")[0], PEER_MINUTES)
    return [
        row("Beauty, RecTools' SASRec, targets learned per second", found.targets_per_second, "1/s"),
        row(f"Beauty, RecTools' SASRec, ndcg@10 of last events after {found.epochs} epochs", found.ndcg, ""),
    ]


PARTS: dict[int, Callable[[], list[Row]]] = {
    1: steps.measure,
    2: large_log.measure,
    3: quality.measure,
    4: processes.measure,
    5: ablation.measure,
    6: _peer,
    7: large_log.measure_largest,
    8: build_cost.measure,
    9: going_on.measure,
}


def measure(only: Collection[int]) -> list[Row]:
    """Run parts, one after another.

    Args:
        only: numbers of the parts.

    Raises:
        WinnowError: a build or a training failed, or a data set is missing.
    """
    with temporary_home():
        return [row for number, part in PARTS.items() if number in only for row in part()]
