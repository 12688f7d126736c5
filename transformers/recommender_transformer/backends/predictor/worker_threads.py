"""Threads that compute calls for an event loop."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """Too many calls wait for a thread."""


class WorkerThreads(Generic[T]):
    """A few daemon threads. Create them inside the running event loop.

    In place of ``ThreadPoolExecutor``, whose queue has no bound, whose threads keep a process alive as long as a call
    hangs, and whose hand-over costs half as much again.

    Args:
        threads: number of threads, which is that of calls at the same time.
        most: calls that may wait.
    """

    def __init__(self, threads: int, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._calls: SimpleQueue[tuple[asyncio.Future[T], Callable[[], T]] | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Let a thread compute a call; cancelling the future drops a call that no thread has begun.

        Raises:
            QueueFull: ``most`` calls wait.
        """
        if self._calls.qsize() >= self._most:
            raise QueueFull
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((future, call))
        return future

    def close(self) -> None:
        """End each thread after the calls before this one; does not wait."""
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.cancelled():
                continue
            result: Any = None
            error: Exception | None = None
            try:
                result = call()
            except Exception as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                # The loop is closed: nothing waits for results any more.
                return
            # A thread that waits for its next call must not hold the arrays of the last one.
            del item, future, call, result, error


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    """Set the outcome, in the event loop's thread; the caller may have left meanwhile."""
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
