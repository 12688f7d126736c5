"""What is learned and what is ordered (``python -m benchmarks objectives``): every part builds and serves its own data.

1 heads, 2 order, 3 dislikes, 4 ratings, 5 repeats, 6 the whole funnel, 7 cost. The first three share a release of the
demo marketplace without its last days.
"""

from collections.abc import Callable, Collection

from benchmarks.common.rows import Row
from benchmarks.value import cost, dislikes, heads, order, ratings, repeats, whole_funnel
from benchmarks.value.subjects import Subjects, temporary_home

PARTS: dict[int, Callable[[Subjects], list[Row]]] = {
    1: heads.measure,
    2: order.measure,
    3: dislikes.measure,
    4: ratings.measure,
    5: repeats.measure,
    6: whole_funnel.measure,
}
COST = 7
"""The part that needs another revision to compare with."""


def measure(only: Collection[int], before: str | None) -> list[Row]:
    """Run parts, one after another, in a temporary home.

    Args:
        only: numbers of the parts.
        before: the git revision that training and requests are compared with; without one, that part is left out.

    Raises:
        WinnowError: a build failed, an answer was degraded, or a data set is missing.
    """
    with temporary_home():
        subjects = Subjects()
        rows = [row for number, part in PARTS.items() if number in only for row in part(subjects)]
        if COST in only and before:
            rows += cost.measure(subjects, before)
    return rows
