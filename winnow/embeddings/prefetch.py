"""Work a little ahead of whoever consumes it, on several threads and in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def ahead(
    make: Callable[[Given], Made], entries: Iterable[Given], *, threads: int, at_most: int
) -> Generator[Made, None, None]:
    """``make`` of every entry, in order.

    An executor's own ``map`` would take all entries at once, and hold every result that is not yet asked for.

    Args:
        make: called on other threads.
        entries: what to call it with.
        threads: how many calls run at once.
        at_most: results that are begun or ready before they are asked for.
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
        # Whoever stops early, as Ctrl-C does, does not wait for what has not begun.
        pool.shutdown(cancel_futures=True)
