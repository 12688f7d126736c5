"""Connections that keep the server waiting: how many there may be, and which must go when there are too many.

Two kinds wait, each with bounds of its own, in all and for each client's address: those whose request is not whole yet,
and those that lie idle between requests. A newcomer is not turned away, for an honest one needs a moment only. The one
that must go is the one that is furthest behind: who trickles has waited long and sent little, while one whose line is
merely slow gains with every byte.
"""

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import NamedTuple, Protocol

from prometheus_client import Counter, Gauge

HEAD_S = 10.0
"""For a request's headers; for its first byte, too, where the connection is new."""

GRACE_S = 20.0
"""For a body, besides the time that it takes at :data:`SLOWEST`: a line may stall."""

SLOWEST = 4_000
"""Bytes a second: a quarter of a slow telephone line's. The largest body may take half an hour, no longer."""

_MOMENT_S = 1.0

SMALL = 64 * 1024
"""What is taken of every body; what is beyond that counts towards ``Bounds.held_bytes``."""

_WAITING = Gauge("winnow_connections_waiting", "Connections that send a request, or lie idle.", ("what",))
_ENDED = Counter("winnow_connections_ended_total", "Connections ended by the server, by the reason.", ("reason",))
REASONS = ("slow", "idle", "crowded", "memory", "unread")
# There from the start: a counter that appears with its first fault has no rate for it.
for _reason in REASONS:
    _ENDED.labels(_reason)


class Bounds(NamedTuple):
    """What connections may claim.

    Attributes:
        connections: that send a request, and as many that lie idle.
        per_client: of these, from one address. Behind a gateway all have the gateway's.
        held_bytes: of bodies, received in part or under way, beyond :data:`SMALL` of each.
    """

    connections: int = 2000
    per_client: int = 1000
    held_bytes: int = 128 * 2**20


class Connection(Protocol):
    """One that waits.

    Attributes:
        address: its client's.
        held: bytes of its body that count.
        began: when it began to wait, by the monotonic clock.
        earned: seconds that it has gained by what it has sent.
        due: when its time runs out.
    """

    address: str
    held: int
    began: float

    @property
    def earned(self) -> float:
        """See above."""

    @property
    def due(self) -> float:
        """See above."""

    def end(self, reason: str) -> None:
        """Close it, with an answer where one is owed."""


class Crowd:
    """The connections of one kind.

    Args:
        what: they do, for the metric.
        bounds: how many there may be.
    """

    def __init__(self, what: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._of: dict[str, set[Connection]] = {}
        self._count = 0
        _WAITING.labels(what).set_function(lambda: self._count)

    def join(self, connection: Connection) -> None:
        """Take one in; beyond a bound another, or this one, must go."""
        mine = self._of.setdefault(connection.address, set())
        mine.add(connection)
        self._count += 1
        if len(mine) > self._bounds.per_client:
            end(furthest_behind(mine), "crowded")
        elif self._count > self._bounds.connections:
            end(furthest_behind(self), "crowded")

    def leave(self, connection: Connection) -> None:
        """Let one go."""
        mine = self._of[connection.address]
        mine.remove(connection)
        self._count -= 1
        if not mine:
            del self._of[connection.address]

    def __iter__(self) -> Iterator[Connection]:
        return (connection for mine in self._of.values() for connection in mine)


class Waiting:
    """All that is waited for; one event loop's, so nothing is locked.

    Args:
        bounds: what connections may claim.

    Attributes:
        sending: those whose request is not whole.
        idle: those between requests.
    """

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008
        self.sending = Crowd("sending", bounds)
        self.idle = Crowd("idle", bounds)
        self._most = bounds.held_bytes
        self._held = 0

    def hold(self, more: int) -> None:
        """Count bytes of a body, or with a negative number let them go; too many, and a body must go."""
        self._held += more
        if more > 0 and self._held > self._most:
            held = [connection for connection in self.sending if connection.held]
            if held:
                end(furthest_behind(held), "memory")

    def sweep(self, now: float) -> None:
        """End those whose time has run out."""
        for connection in [connection for connection in self.sending if connection.due < now]:
            end(connection, "slow")
        for connection in [connection for connection in self.idle if connection.due < now]:
            end(connection, "idle")


def end(connection: Connection, reason: str) -> None:
    """End a connection, and count it."""
    _ENDED.labels(reason).inc()
    connection.end(reason)


def furthest_behind(connections: Iterable[Connection]) -> Connection:
    """The one that must go: of those that had their moment, if there are any.

    A moment is for all, whatever they sent in it, or one that sends much at first and then nothing would stay while
    newcomers go.
    """
    every = list(connections)
    had_their_moment = [connection for connection in every if connection.began < monotonic() - _MOMENT_S]
    if had_their_moment:
        return min(had_their_moment, key=lambda connection: connection.began + connection.earned)
    return min(every, key=lambda connection: connection.began)
