"""Concurrent calls are joined without changing what a caller gets: its own result, its own error, its own deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from recommender_transformer.backends import joined_calls
from recommender_transformer.backends.joined_calls import JoinedCalls


@dataclass
class Doubling:
    """A backend that doubles numbers once its gate is open; a call with a negative number fails."""

    calls: list[list[int]] = field(default_factory=list)
    cancelled: list[list[int]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(list(numbers))
            raise
        if min(numbers) < 0:
            raise ValueError(f"{min(numbers)} is negative")
        return [2 * number for number in numbers]


def run(work: Callable[[Doubling, JoinedCalls[int, int]], Awaitable[Any]], most: int = 8) -> Doubling:
    """Run ``work`` with a backend and the joined calls to it."""

    async def inside() -> Doubling:
        backend = Doubling()
        await work(backend, JoinedCalls(backend, most))
        return backend

    return asyncio.run(inside())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def asked(calls: JoinedCalls[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(calls(number)) for number in numbers]


def test_a_lone_call_waits_for_nothing() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        backend.gate.set()
        assert [await calls(1), await calls(2)] == [2, 4]

    assert run(work).calls == [[1], [2]]


def test_calls_of_one_turn_and_calls_that_wait_are_joined() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        first = asked(calls, 1, 2)
        await turns()
        later = asked(calls, 3)
        await turns()
        later += asked(calls, 4, 5, 6)
        await turns()
        assert backend.calls == [[1, 2]], "further calls wait for the one in flight"
        backend.gate.set()
        assert await asyncio.gather(*first, *later) == [2, 4, 6, 8, 10, 12]

    assert run(work, most=3).calls == [[1, 2], [3, 4, 5], [6]]


def test_a_failure_is_only_its_callers() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        backend.gate.set()
        results = await asyncio.gather(*asked(calls, 1, -2, 3), return_exceptions=True)
        assert [results[0], str(results[1]), results[2]] == [2, "-2 is negative", 6]
        assert await calls(4) == 8

    assert run(work).calls == [[1, -2, 3], [1], [-2], [3], [4]]


def test_a_caller_that_leaves_affects_no_other() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        leaving, staying = asked(calls, 1, 2)
        await turns()
        waiting, still_waiting = asked(calls, 3, 4)
        await turns()
        leaving.cancel()
        waiting.cancel()
        await turns()
        backend.gate.set()
        assert await asyncio.gather(staying, still_waiting) == [4, 8]
        assert leaving.cancelled()
        assert waiting.cancelled()

    backend = run(work)
    assert backend.calls == [[1, 2], [4]], "a caller that left before the call was sent is not in it"
    assert not backend.cancelled


def test_a_call_that_all_have_left_is_cancelled_and_holds_nothing_up() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        leaving = asked(calls, 1, 2)
        await turns()
        waiting = asked(calls, 3)
        await turns()
        for task in leaving:
            task.cancel()
        await turns()
        assert backend.calls == [[1, 2], [3]]
        backend.gate.set()
        assert await waiting[0] == 6

    assert run(work).cancelled == [[1, 2]]


def test_closing_ends_the_calls_in_flight() -> None:
    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        tasks = asked(calls, 1, 2)
        await turns()
        tasks += asked(calls, 3)
        await turns()
        await calls.close()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 3

    backend = run(work)
    assert backend.calls == backend.cancelled == [[1, 2]]


def test_an_overdue_call_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_calls, "OVERDUE_S", 0.01)

    async def work(backend: Doubling, calls: JoinedCalls[int, int]) -> None:
        lost = asked(calls, 1)
        await turns()
        waiting = asked(calls, 2)
        await asyncio.sleep(0.1)
        assert backend.calls == [[1], [2]]
        backend.gate.set()
        assert await asyncio.gather(*lost, *waiting) == [2, 4]

    run(work)
