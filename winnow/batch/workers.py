"""The workers of a batch: processes with the funnel of a release, one per core."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

from winnow.batch.messages import Answers, Failure, Ready, Reply, Task, reply_of
from winnow.errors import WinnowError
from winnow.local.processes import end_group, spawn_child

MAX_WORKERS = 64
"""The most worker processes."""

_AHEAD = 2
"""Tasks that a worker has: while this process looks at the answers to one, the worker computes the next."""

_STALLED_S = 300.0
"""Time without a word from any worker. An answer has a deadline of ten seconds, and a worker starts in less."""

_GRACE_S = 2.0

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy's matrix products on one core: the others have workers of their own, beside which more threads would spin."""

_CONTINUE = "run the command again, which continues where it stopped"


def cores() -> int:
    """The cores of this process, at most :data:`MAX_WORKERS`."""
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)))


class _Worker:
    """A process, and a thread that reads its replies."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.child = spawn_child(command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self._tasks, self._replies = self.child.stdin, self.child.stdout
        self._thread: Thread | None = None
        self.tasks = 0

    def listen(self, replies: "SimpleQueue[tuple[_Worker, Reply | None]]") -> None:
        """Pass the replies on; `None` at their end."""

        def read() -> None:
            for line in self._replies:
                replies.put((self, reply_of(line)))
            replies.put((self, None))

        self._thread = Thread(target=read, daemon=True)
        self._thread.start()

    def give(self, task: Task) -> None:
        """Give the worker a task."""
        self.tasks += 1
        # Where it has ended, that is among its replies.
        with suppress(BrokenPipeError):
            self._tasks.write(task.line())
            self._tasks.flush()

    def end(self) -> None:
        """End the process, which has been told to, and what it has started."""
        end_group(self.child, _GRACE_S)
        if self._thread is not None:
            self._thread.join()
        self._replies.close()
        with suppress(BrokenPipeError):
            self._tasks.close()


class Workers:
    """Workers as a context manager: all of them have ended after the block, however it is left.

    Use it in the main thread: the kernel ends the workers when the thread ends that started them, so that none is left
    behind where this process is killed.

    Args:
        arguments: of ``python -m recommender_transformer.batch``.
        redis_url: URL of Redis.
        count: number of workers.
    """

    def __init__(self, arguments: Sequence[str], redis_url: str, count: int) -> None:
        # -P: a folder in the working directory must not shadow an installed package.
        self._command = [sys.executable, "-P", "-m", "recommender_transformer.batch", *arguments]
        # Not on the command line, which other users can list: the address may contain a password.
        self._environment = {**os.environ, "REDIS_URL": redis_url, **_ONE_THREAD}
        self._count = count
        self._workers: list[_Worker] = []
        self._replies: SimpleQueue[tuple[_Worker, Reply | None]] = SimpleQueue()

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._workers.append(_Worker(self._command, self._environment))
        except BaseException:
            self._end()
            raise
        for worker in self._workers:
            worker.listen(self._replies)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def answers(self, tasks: Iterator[Task], urgent: "deque[Task]") -> Iterator[Answers]:
        """Let the workers answer tasks; yields the answers as they arrive.

        Args:
            tasks: the tasks, taken when a worker is free.
            urgent: tasks that come first; the caller may add some between two answers.

        Raises:
            WinnowError: a worker cannot go on, or none of them answers.
        """
        ready: list[_Worker] = []
        while True:
            left = True
            for worker in sorted(ready, key=lambda one: one.tasks):
                while left and worker.tasks < _AHEAD:
                    task = urgent.popleft() if urgent else next(tasks, None)
                    if task is None:
                        left = False
                    else:
                        worker.give(task)
            if not left and not any(worker.tasks for worker in ready):
                return
            worker, reply = self._next()
            if isinstance(reply, Ready):
                ready.append(worker)
            elif isinstance(reply, Answers):
                worker.tasks -= 1
                yield reply
            elif isinstance(reply, Failure):
                raise WinnowError(reply.message)
            else:
                code = worker.child.wait()
                raise WinnowError(f"a worker ended by itself (exit code {code}): {_CONTINUE}")

    def _next(self) -> "tuple[_Worker, Reply | None]":
        try:
            return self._replies.get(timeout=_STALLED_S)
        except Empty:
            raise WinnowError(f"no worker has answered for {_STALLED_S:.0f} s: {_CONTINUE}") from None

    def _end(self) -> None:
        for worker in self._workers:
            worker.child.terminate()
        for worker in self._workers:
            worker.end()
        self._workers = []
