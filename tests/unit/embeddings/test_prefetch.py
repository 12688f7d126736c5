"""Prefetching: bounded, in order, and stopped early."""

import threading
import time

from winnow.embeddings.prefetch import prefetch


def test_prefetching_is_bounded_ordered_and_stops_early() -> None:
    taken: list[int] = []
    busy, most, lock = [0], [0], threading.Lock()

    def make(number: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.002 * (number % 3))
        with lock:
            busy[0] -= 1
        return number * number

    def entries():
        for number in range(50):
            taken.append(number)
            yield number

    results = prefetch(make, entries(), threads=3, at_most=6)
    for number in range(20):
        assert next(results) == number * number
        assert len(taken) <= number + 1 + 7
    results.close()
    assert len(taken) < 30
    assert 1 < most[0] <= 3
    assert list(prefetch(make, range(10), threads=3, at_most=1)) == [number * number for number in range(10)]
