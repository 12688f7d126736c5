"""The shipped per-unit figures predict what a real publication takes; where they do not, measure them again."""

import pytest

from benchmarks.scale import store_memory
from benchmarks.scale.subjects.sized_release import skewed_histories
from winnow.planning import store, units
from winnow.planning.workload import Workload


@pytest.mark.slow
def test_redis_takes_the_predicted_memory() -> None:
    users, items = 10_000, 6_000
    # Large enough that the release's trending counts, at most 1 MB, do not matter.
    histories = skewed_histories(users, 20)
    workload = Workload(users=users, items=items, rps=1, events=0, history=float(histories.mean()))
    first, more = store_memory.published(items, histories)
    for releases, measured in ((1, first), (2, first + more)):
        held = store.memory(workload, units.load(), releases)
        predicted = held["users"] + held["items"]
        assert measured == pytest.approx(predicted, rel=0.1), "write winnow/planning/units.yaml by `benchmarks units`"
