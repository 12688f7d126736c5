"""Joins concurrent calls to a backend: calls that arrive while others are in flight go together, as one call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

IN_FLIGHT = 1
"""Calls in flight beyond which further ones wait and are joined. With one instance of a model, Triton would make them
wait itself; two or three in flight cost more CPU and answered no sooner."""

OVERDUE_S = 0.025
"""Seconds after which a call no longer holds up the ones that wait: a call to one of several replicas may be lost."""

Input = TypeVar("Input")
Output = TypeVar("Output")


class _Member(NamedTuple, Generic[Input, Output]):
    """One caller's part of a joined call; ``result`` is cancelled if the caller stops waiting."""

    given: Input
    result: asyncio.Future[Output]


class JoinedCalls(Generic[Input, Output]):
    """Calls a backend for several callers at once. All calls come from one event loop.

    A call that finds none in flight is sent at the end of the current turn of the event loop, with the calls of the
    same turn. A caller that stops waiting, such as at its deadline, affects no other; a joined call that all callers
    have left is cancelled. A joined call that fails is repeated for each caller alone, so an error affects only the
    caller that caused it.

    Args:
        call: takes the inputs of several callers, returns the output of each in the same order.
        most: callers per joined call; more would delay the first of them for the last.
    """

    def __init__(self, call: Callable[[Sequence[Input]], Awaitable[Sequence[Output]]], most: int) -> None:
        self._call = call
        self._most = most
        self._waiting: deque[_Member[Input, Output]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._holding_up: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def __call__(self, given: Input) -> Output:
        """The output for ``given``; raises what the backend raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Output] = loop.create_future()
        member = _Member(given, result)
        self._waiting.append(member)
        if not self._scheduled and len(self._holding_up) < IN_FLIGHT:
            self._scheduled = True
            loop.call_soon(self._send)
        return await result

    async def close(self) -> None:
        """Cancel all calls, and wait until those in flight have ended."""
        for member in self._waiting:
            member.result.cancel()
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    def _send(self) -> None:
        """Send waiting calls, unless enough are in flight."""
        self._scheduled = False
        while self._waiting and len(self._holding_up) < IN_FLIGHT:
            members: list[_Member[Input, Output]] = []
            while self._waiting and len(members) < self._most:
                member = self._waiting.popleft()
                if not member.result.done():
                    members.append(member)
            if members:
                self._start(members)

    def _start(self, members: Sequence[_Member[Input, Output]]) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(members))
        self._in_flight.add(task)
        self._holding_up.add(task)
        overdue = loop.call_later(OVERDUE_S, self._released, task)

        def left(result: asyncio.Future[Output]) -> None:
            if result.cancelled() and all(member.result.cancelled() for member in members):
                task.cancel()

        def ended(_: asyncio.Task[None]) -> None:
            overdue.cancel()
            self._in_flight.discard(task)
            if task.cancelled():
                for member in members:
                    member.result.cancel()
            self._released(task)

        for member in members:
            member.result.add_done_callback(left)
        task.add_done_callback(ended)

    def _released(self, task: asyncio.Task[None]) -> None:
        self._holding_up.discard(task)
        self._send()

    async def _run(self, members: Sequence[_Member[Input, Output]]) -> None:
        try:
            outputs = await self._call([member.given for member in members])
        except Exception as error:
            if len(members) > 1:
                for member in members:
                    if not member.result.done():
                        self._start([member])
            elif not members[0].result.done():
                members[0].result.set_exception(error)
            return
        for member, output in zip(members, outputs, strict=True):
            if not member.result.done():
                member.result.set_result(output)
