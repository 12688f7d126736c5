"""The parts in work: divided into tasks for the workers, and written once their tasks are answered."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from winnow.batch import parts
from winnow.batch.messages import Answers, Task, UserAnswer
from winnow.batch.parts import Written
from winnow.batch.plan import UserList
from winnow.batch.users import Present
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store.connection import FAILURES, connect, shown

TASK_USERS = 32
"""Users of a task: some tens of kilobytes of answers, and little idle time where the last ones end."""

_UNWRITTEN = 2
"""Parts that wait to be written, so that workers go on while one is sent to S3."""


class _Part:
    """A part in work.

    Attributes:
        number: of the part.
        user_ids: its users.
        answers: place of a user -> answer.
        waiting: answers that are still to come.
        repeated: whether degraded answers were asked for again.
    """

    def __init__(self, number: int, user_ids: list[str]) -> None:
        self.number, self.user_ids = number, user_ids
        self.answers: dict[int, UserAnswer] = {}
        self.waiting = len(user_ids)
        self.repeated = False

    @property
    def degraded(self) -> list[int]:
        """Places of the users whose answer is degraded."""
        return [place for place, answer in sorted(self.answers.items()) if answer.degraded]


class Computation:
    """Divides parts into tasks, and writes each part once its tasks are answered, as a context manager.

    Degraded answers are asked for once more, when all others of the part are there. Memory is bounded by the parts
    that workers are computing, and by ``_UNWRITTEN``.

    Args:
        release: the release.
        redis_url: URL of Redis.
        output: folder of the batch.
        missing: numbers of the parts to compute.

    Attributes:
        urgent: tasks that come before others.
    """

    def __init__(self, release: Release, redis_url: str, output: str, missing: Sequence[int]) -> None:
        self._release, self._redis_url, self._output, self._missing = release, redis_url, output, missing
        self._asked: dict[int, tuple[_Part, Sequence[int]]] = {}
        self._count = 0
        self._writer = ThreadPoolExecutor(1)
        self._writing: deque[tuple[int, Future[Written]]] = deque()
        self._written: dict[int, Written] = {}
        self.urgent: deque[Task] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.shutdown(cancel_futures=True)

    def tasks(self) -> Iterator[Task]:
        """The tasks of all parts.

        Raises:
            WinnowError: the list of users cannot be read.
        """
        users = UserList(self._output)
        for number in self._missing:
            part = _Part(number, users.of_part(number))
            yield from self._divided(part, range(len(part.user_ids)))

    def take(self, answers: Answers) -> int:
        """Take the answers to a task; returns the number of users that were answered for the first time.

        Raises:
            WinnowError: all answers of a part are degraded, or a part cannot be written.
        """
        part, places = self._asked.pop(answers.number)
        before = len(part.answers)
        part.answers |= zip(places, answers.users, strict=True)
        part.waiting -= len(places)
        if not part.waiting:
            degraded = part.degraded
            if degraded and not part.repeated:
                part.repeated, part.waiting = True, len(degraded)
                self.urgent += self._divided(part, degraded)
            else:
                self._write(part)
        return len(part.answers) - before

    def finish(self) -> dict[int, Written]:
        """Wait until all parts are written; number -> what it holds.

        Raises:
            WinnowError: a part cannot be written.
        """
        while self._writing:
            self._wait()
        return self._written

    def _divided(self, part: _Part, places: Sequence[int]) -> Iterator[Task]:
        for start in range(0, len(places), TASK_USERS):
            self._count += 1
            of_task = places[start : start + TASK_USERS]
            self._asked[self._count] = (part, of_task)
            yield Task(self._count, [part.user_ids[place] for place in of_task])

    def _write(self, part: _Part) -> None:
        degraded = part.degraded
        if len(degraded) == len(part.user_ids):
            reason = part.answers[degraded[0]].degraded[0]
            raise WinnowError(
                f"answers are degraded ({reason}): run the command again, which continues where it stopped"
            )
        while len(self._writing) >= _UNWRITTEN:
            self._wait()
        self._writing.append((part.number, self._writer.submit(self._write_present, part)))

    def _write_present(self, part: _Part) -> Written:
        """Write the answers of those who were not erased meanwhile."""
        try:
            with connect(self._redis_url) as client:
                kept = Present(client, self._release).mask(part.user_ids).tolist()
        except FAILURES as error:
            raise redis_failed(self._redis_url, error) from error
        places = [place for place, keep in enumerate(kept) if keep]
        user_ids, answers = [part.user_ids[place] for place in places], [part.answers[place] for place in places]
        return parts.write(self._output, part.number, self._release.manifest.number, user_ids, answers)

    def _wait(self) -> None:
        number, future = self._writing.popleft()
        self._written[number] = future.result()


def redis_failed(url: str, error: Exception) -> WinnowError:
    """The sentence for a Redis that stopped answering."""
    return WinnowError(f"{shown(url)} failed: run the command again, which continues where it stopped ({error})")
