"""Prefetching: results are made ahead of their consumer, in threads and in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def prefetch(
    make: Callable[[Given], Made], entries: Iterable[Given], *, threads: int, at_most: int
) -> Generator[Made, None, None]:
    """The results of ``make`` for all entries, in order.

    ``Executor.map`` would submit all entries at once and hold all results that are not yet consumed.

    Args:
        make: the function, called in other threads.
        entries: its arguments.
        threads: number of concurrent calls.
        at_most: maximum of results that are running or waiting to be consumed.
    """
    under_way: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for entry in entries:
            if len(under_way) == at_most:
                yield under_way.popleft().result()
            under_way.append(pool.submit(make, entry))
        while under_way:
            yield under_way.popleft().result()
    finally:
        # A consumer that stops early (Ctrl-C) does not wait for calls that have not started.
        pool.shutdown(cancel_futures=True)
