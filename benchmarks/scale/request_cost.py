"""CPU time and memory of each part of a stack per recommendation and per event.

CPU time, unlike latency, hardly depends on the other load of the machine.
"""

import time
from dataclasses import dataclass

import httpx
import psutil

from benchmarks.common.stack import active_users, newest, stack
from winnow.errors import WinnowError
from winnow.local.stack import Stack

PARTS = ("redis", "triton", "transformer", "bloom sidecar")

_REQUESTS, _WARM_UP, _EVENTS, _K = 400, 100, 400, 10

_SETTLED_S = 2.0
"""After a load: the sidecar applies events after they were acknowledged."""


@dataclass(frozen=True)
class Cost:
    """What the parts of a stack use.

    Attributes:
        request_ms: CPU milliseconds per recommendation, by part.
        event_ms: CPU milliseconds per event, by part, its application by the sidecar included.
        resident: resident memory after the load, in bytes, by part.
        items: items of the served release.
    """

    request_ms: dict[str, float]
    event_ms: dict[str, float]
    resident: dict[str, int]
    items: int


def measure() -> Cost:
    """Serve the newest release, and send recommendations and then events, one after another.

    Raises:
        WinnowError: there is no release, or the endpoint refused.
    """
    served = newest()
    users = active_users(served, 200)
    items = served.strings("item_ids")
    kind = served.schema.events[0]
    with stack(served) as running, httpx.Client(base_url=f"http://127.0.0.1:{running.ports.http}") as endpoint:
        processes = {part: _of(running, part) for part in PARTS}

        def send(model: str, number: int) -> None:
            user = users[number % len(users)]
            instance = {"user_id": user, "k": _K}
            if model == "events":
                instance = {"user_id": user, "item_id": str(items[1 + number % (len(items) - 1)]), "event": kind}
            answer = endpoint.post(f"/v1/models/{model}:predict", json={"instances": [instance]}, timeout=30)
            if answer.status_code != 200:
                raise WinnowError(f"the endpoint refused: {answer.text:.200}")

        def cost(model: str, count: int) -> dict[str, float]:
            before = {part: _cpu_s(each) for part, each in processes.items()}
            for number in range(count):
                send(model, number)
            time.sleep(_SETTLED_S)
            return {part: 1000 * (_cpu_s(each) - before[part]) / count for part, each in processes.items()}

        cost("recommender", _WARM_UP)
        requests = cost("recommender", _REQUESTS)
        events = cost("events", _EVENTS)
        resident = {part: sum(each.memory_info().rss for each in _tree(process)) for part, process in processes.items()}
    return Cost(requests, events, resident, len(items) - 1)


def _of(running: Stack, part: str) -> psutil.Process:
    return psutil.Process(running.part(part).pid)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    return sum(each.cpu_times().user + each.cpu_times().system for each in _tree(process))
