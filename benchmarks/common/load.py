"""An open-loop load generator in a process of its own: every request is sent when it is due.

A closed-loop client slows down with the server and hides its delay (coordinated omission). Here latency counts from the
time at which a request was due. The generator shares two cores with the measured processes, so it sends prepared bytes
and inspects answers without parsing them.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.common.load_plan import Plan, stream
from winnow.errors import WinnowError

_PATIENCE_S = 12.0
"""Seconds to wait for answers after the last request was sent; no deadline is longer than 10 seconds."""

_AGAIN_S = 0.1
"""Wait before the second retry; the wait before each later retry is longer by the same time."""

_AWAY_S = 1.0


@dataclass(frozen=True)
class Answers:
    """The answers of a load, in the order in which the requests were due.

    Attributes:
        due: when the request was due, seconds since the epoch.
        ms: from ``due`` until the last answer.
        status: of the last answer; 0 without one.
        degraded: whether the answer names a degraded part.
        items: number of items in the answer.
        tries: number of attempts.
    """

    due: NDArray[np.float64]
    ms: NDArray[np.float64]
    status: NDArray[np.int64]
    degraded: NDArray[np.bool_]
    items: NDArray[np.int64]
    tries: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.due)

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """The chosen answers."""
        return type(self)(**{name: values[chosen] for name, values in vars(self).items()})

    def between(self, start: float, end: float) -> Self:
        """Answers due from ``start`` until before ``end``, seconds since the epoch."""
        return self.where((self.due >= start) & (self.due < end))

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Whether each was answered 200."""
        answered: NDArray[np.bool_] = self.status == 200
        return answered

    @property
    def full(self) -> NDArray[np.bool_]:
        """Whether each was answered 200 and not degraded."""
        return self.ok & ~self.degraded

    def percentile(self, share: float) -> float:
        """A percentile of the milliseconds; 0 without answers."""
        return float(np.percentile(self.ms, share)) if len(self) else 0.0


class Load:
    """A running load generator."""

    def __init__(self, plan: Plan) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="winnow-load-")
        self._answers = Path(self._folder.name) / "answers.npz"
        self._patience = plan.seconds + _PATIENCE_S + 30
        command = [sys.executable, "-m", "benchmarks.common.load", json.dumps(asdict(plan)), str(self._answers)]
        self._process = subprocess.Popen(command)  # noqa: S603

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def answers(self) -> Answers:
        """Wait until the load has ended.

        Raises:
            WinnowError: the process failed.
        """
        if self._process.wait(self._patience):
            raise WinnowError("the load generator failed: see its output above")
        with np.load(self._answers) as stored:
            return Answers(**stored)


def carry_out(plan: Plan) -> Answers:
    """Generate a load and wait for its answers.

    Raises:
        WinnowError: the process failed.
    """
    with Load(plan) as load:
        return load.answers()


class _Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self, sender: "_Sender", port: int) -> None:
        self.port = port
        self._sender = sender
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._end = 0
        self._request: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: int, content: bytes) -> None:
        assert self._transport is not None
        self._request = request
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._end:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return
            start = received.lower().find(b"content-length:", 0, head) + len(b"content-length:")
            self._end = head + 4 + int(received[start : received.find(b"\r\n", start)])
        if len(received) < self._end or self._request is None:
            return
        answer, closes = bytes(received), b"connection: close" in received
        request, self._request, self._end = self._request, None, 0
        received.clear()
        if not closes:
            self._sender.idle[self.port].append(self)
        self._sender.answered(request, answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._sender.idle[self.port]:
            self._sender.idle[self.port].remove(self)
        request, self._request = self._request, None
        if request is not None:
            self._sender.failed(request)


class _Sender:
    """Sends a plan's requests and records the answers."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.idle: dict[int, list[_Connection]] = {port: [] for port in plan.ports}
        self._away = dict.fromkeys(plan.ports, 0.0)
        self._content = stream(plan)
        self._due: list[float] = []
        self._notes: dict[int, tuple[float, int, bool, int]] = {}
        self._tries: list[int] = []
        self._open = 0
        self._stopped = False
        self._done = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def carry_out(self) -> Answers:
        plan = self._plan
        epoch = time.time() - time.perf_counter()
        # A first connection to each, so that the first request does not wait for it.
        for port in plan.ports:
            with contextlib.suppress(OSError):
                self.idle[port].append(await self._connect(port))
        started = time.perf_counter()
        if plan.rate:
            gaps = np.random.default_rng(0).exponential(1 / plan.rate, int(plan.rate * plan.seconds))
            for due in (started + 0.1 + np.cumsum(gaps)).tolist():
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                self._send_new(due)
        else:
            for _ in range(plan.clients):
                self._send_new(time.perf_counter())
            await asyncio.sleep(plan.seconds)
        self._stopped = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while self._open:
                    self._done.clear()
                    await self._done.wait()
        nothing = (_PATIENCE_S * 1000, 0, False, 0)
        notes = [self._notes.get(request, nothing) for request in range(len(self._due))]
        ms, status, degraded, items = zip(*notes, strict=True)
        return Answers(
            np.array(self._due) + epoch,
            np.array(ms),
            np.array(status),
            np.array(degraded),
            np.array(items),
            np.array(self._tries),
        )

    def _send_new(self, due: float) -> None:
        self._due.append(due)
        self._tries.append(0)
        self._open += 1
        self._send(len(self._due) - 1)

    def _send(self, request: int) -> None:
        """Send on the most recently used idle connection, or on a new one; every attempt goes to the next endpoint.

        Like a load balancer does, an endpoint that refused a connection is left out for a second.
        """
        now = time.perf_counter()
        ports = [port for port in self._plan.ports if self._away[port] < now] or self._plan.ports
        port = ports[(request + self._tries[request]) % len(ports)]
        self._tries[request] += 1
        if self.idle[port]:
            self.idle[port].pop().send(request, self._content(request))
        else:
            task = asyncio.get_running_loop().create_task(self._send_anew(request, port))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_anew(self, request: int, port: int) -> None:
        try:
            connection = await self._connect(port)
        except OSError:
            self._away[port] = time.perf_counter() + _AWAY_S
            self.failed(request)
        else:
            connection.send(request, self._content(request))

    async def _connect(self, port: int) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self, port), "127.0.0.1", port)
        return connection

    def answered(self, request: int, answer: bytes) -> None:
        status = int(answer[9:12])
        if status == 503 and self._again(request):
            return
        # The answer of protocol v2 is a JSON string within the JSON.
        full = b'"degraded":[]' in answer or b'\\"degraded\\":[]' in answer
        items = answer.count(b'"item_id"') + answer.count(b'\\"item_id\\"')
        self._note(request, status, status == 200 and not full, items)

    def failed(self, request: int) -> None:
        """Record a connection that broke or could not be opened."""
        if not self._again(request):
            self._note(request, 0, False, 0)

    def _again(self, request: int) -> bool:
        """Retry at once, then after longer waits; false after the last attempt."""
        tries = self._tries[request]
        if tries < self._plan.tries:
            asyncio.get_running_loop().call_later((tries - 1) * _AGAIN_S, self._send, request)
        return tries < self._plan.tries

    def _note(self, request: int, status: int, degraded: bool, items: int) -> None:
        now = time.perf_counter()
        self._notes[request] = ((now - self._due[request]) * 1000, status, degraded, items)
        self._open -= 1
        self._done.set()
        if not self._plan.rate and not self._stopped:
            # A refused client waits a moment: one that asks again at once keeps a full server busy with refusing.
            wait_s = _AGAIN_S if status == 503 else 0.0
            asyncio.get_running_loop().call_later(wait_s, self._send_next)

    def _send_next(self) -> None:
        if not self._stopped:
            self._send_new(time.perf_counter())


def main() -> None:
    """``python -m benchmarks.common.load PLAN ANSWERS``: generate a load and write its answers."""
    plan, file = Plan(**json.loads(sys.argv[1])), sys.argv[2]

    async def run() -> Answers:
        return await _Sender(plan).carry_out()

    answers = uvloop.run(run())
    np.savez(file, **vars(answers))


if __name__ == "__main__":
    main()
