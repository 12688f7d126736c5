"""Sends items to the running stack in batches, several at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from tqdm import tqdm

from winnow.errors import WinnowError

IN_FLIGHT = 4
"""Calls at a time: enough to keep a transformer busy, which embeds four items at a time, of all calls together."""

B = TypeVar("B", bound=Sequence[Any])


class Interrupted(WinnowError):
    """A batch was refused.

    Attributes:
        done: items of the batches that were answered.
        batch: the batch.
        reason: why.
    """

    def __init__(self, done: int, batch: Sequence[Any], reason: str) -> None:
        super().__init__(reason)
        self.done = done
        self.batch = batch
        self.reason = reason


def send(batches: Iterable[B], call: Callable[[B], list[Any]], total: int, what: str, show_progress: bool) -> list[Any]:
    """Call with each batch, at most :data:`IN_FLIGHT` at a time.

    Args:
        batches: of items.
        call: sends a batch; gives the answer for each item.
        total: number of all items.
        what: text of the progress bar.
        show_progress: show it.

    Returns:
        The answers in the order of the items.

    Raises:
        Interrupted: a batch was refused; those after it that were on their way are answered, and no others are sent.
    """
    answers: list[Any] = []
    waiting = iter(batches)
    with (
        tqdm(total=total, desc=what, unit="item", disable=not show_progress) as bar,
        ThreadPoolExecutor(IN_FLIGHT) as pool,
    ):
        sent = [(batch, pool.submit(call, batch)) for batch in islice(waiting, IN_FLIGHT)]
        while sent:
            batch, future = sent.pop(0)
            try:
                answers += future.result()
            except WinnowError as error:
                done = len(answers) + sum(len(other) for other, later in sent if _succeeds(later))
                raise Interrupted(done, batch, str(error)) from error
            bar.update(len(batch))
            sent += [(following, pool.submit(call, following)) for following in islice(waiting, 1)]
    return answers


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Parts of at most ``size`` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _succeeds(future: "Future[Any]") -> bool:
    return future.exception() is None
