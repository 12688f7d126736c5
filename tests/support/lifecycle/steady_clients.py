"""Clients that ask one request after another over HTTP v1, HTTP v2 and gRPC, and keep what each answer was."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from threading import Event, Thread

from winnow import protocols
from winnow.errors import WinnowError
from winnow.request import Answer

PAUSE_S = 0.005
PROTOCOLS = ("HTTP v1", "HTTP v2", "gRPC")


@dataclass(frozen=True)
class Given:
    """An answer: its user, when it was asked for and received (monotonic clock), its release, items, degraded steps."""

    user: str
    asked: float
    received: float
    release: int
    items: tuple[str, ...]
    degraded: tuple[str, ...]


@dataclass
class SteadyClient:
    """One client: a connection, kept alive while the server lets it.

    Attributes:
        protocol: its protocol.
        answers: in their order.
        errors: of requests without an answer.
    """

    protocol: str
    answers: list[Given] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def releases(self) -> list[int]:
        """The releases that answered, in their order, each as often as it took over."""
        numbers = [answer.release for answer in self.answers]
        return numbers[:1] + [after for before, after in pairwise(numbers) if before != after]


@contextmanager
def steady_clients(http: int, grpc: int, users: Sequence[str], each: int = 1) -> Iterator[list[SteadyClient]]:
    """Run clients of every protocol while the block runs.

    Args:
        http: HTTP port.
        grpc: gRPC port.
        users: ids of the users that are asked for, in turn.
        each: clients per protocol.
    """
    ended = Event()
    clients = [SteadyClient(protocol) for protocol in PROTOCOLS for _ in range(each)]
    threads = [Thread(target=_ask, args=(steady, http, grpc, users, ended)) for steady in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(steady: SteadyClient, http: int, grpc: int, users: Sequence[str], ended: Event) -> None:
    with ExitStack() as exits:
        ask: Callable[[list[protocols.Instance]], list[Answer]]
        if steady.protocol == "gRPC":
            channel = exits.enter_context(protocols.grpc(grpc))
            ask = lambda instances: protocols.over_grpc(channel, instances)  # noqa: E731
        else:
            endpoint = exits.enter_context(protocols.http(http))
            over = protocols.over_http_v1 if steady.protocol == "HTTP v1" else protocols.over_http_v2
            ask = lambda instances: over(endpoint, instances)  # noqa: E731
        for user in cycle(users):
            if ended.wait(PAUSE_S):
                return
            asked = time.monotonic()
            try:
                [answer] = ask([{"user_id": user, "k": 5, "deadline_ms": 5000}])
            except WinnowError as error:
                steady.errors.append(str(error))
                continue
            items = tuple(item["item_id"] for item in answer["items"])
            steady.answers.append(
                Given(user, asked, time.monotonic(), answer["release"], items, tuple(answer["degraded"]))
            )
