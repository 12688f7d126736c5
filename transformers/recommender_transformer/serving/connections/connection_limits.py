"""ConnectionLimits the connections that are waiting for a client, and chooses those to close when there are too many.

Two kinds are bounded, in total and per client address: connections whose request is incomplete, and connections that
are idle between requests. A new connection is not refused, since an ordinary client needs only a moment. Instead, the
connection that is furthest behind is closed: a client that trickles has waited long and sent little, while a client on
a slow line makes progress with every byte.
"""

import resource
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import NamedTuple, Protocol

from prometheus_client import Counter, Gauge

OPEN_FILES = 16_384
"""Open files that a process should be allowed: a connection is one."""

HEAD_S = 10.0
"""Time for the headers of a request, and for the first byte on a new connection."""

GRACE_S = 20.0
"""Time for a body in addition to its size at :data:`MIN_RATE`, for lines that stall."""

MIN_RATE = 4_000
"""Bytes per second: a quarter of a slow telephone line's. The largest body may take half an hour."""

_MIN_WAIT_S = 1.0
"""A connection that has waited for less than this is closed only if all have."""

UNCOUNTED_BYTES = 64 * 1024
"""The first bytes of each body, which do not count towards ``ConnectionLimits.held_bytes``."""

_WAITING = Gauge("winnow_connections_waiting", "HTTP connections that are sending a request, or are idle.", ("what",))
_CLOSED = Counter("winnow_connections_ended_total", "HTTP connections closed by the server, by reason.", ("reason",))
REASONS = ("slow", "idle", "crowded", "memory", "unread")
# Export the counters at 0: a series that begins with its first event has no rate for it.
for _reason in REASONS:
    _CLOSED.labels(_reason)


class ConnectionLimits(NamedTuple):
    """ConnectionLimits on connections.

    Attributes:
        connections: connections that are sending a request; the same number may be idle.
        per_client: of these, connections of one address. Behind a gateway, all clients have the gateway's address.
        held_bytes: bytes of incomplete or unprocessed bodies, beyond :data:`UNCOUNTED_BYTES` of each.
    """

    connections: int = 2000
    per_client: int = 1000
    held_bytes: int = 128 * 2**20


class Connection(Protocol):
    """A connection that is waiting for its client.

    Attributes:
        address: address of the client.
        held: bytes of its body that count towards the limit.
        began: when it began to wait, by the monotonic clock.
        earned: seconds added to its time by the bytes that it has sent.
        due: when its time is over.
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
        """Close the connection, with a response if a request has begun."""


class ConnectionGroup:
    """The waiting connections of one kind.

    Args:
        what: label of the metric.
        limits: bounds on their number.
    """

    def __init__(self, what: str, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._by_address: dict[str, set[Connection]] = {}
        self._count = 0
        _WAITING.labels(what).set_function(lambda: self._count)

    def add(self, connection: Connection) -> None:
        """Add a connection; beyond a bound, close one, which may be the new one."""
        same_address = self._by_address.setdefault(connection.address, set())
        same_address.add(connection)
        self._count += 1
        if len(same_address) > self._limits.per_client:
            close(furthest_behind(same_address), "crowded")
        elif self._count > self._limits.connections:
            close(furthest_behind(self), "crowded")

    def remove(self, connection: Connection) -> None:
        """Remove a connection."""
        same_address = self._by_address[connection.address]
        same_address.remove(connection)
        self._count -= 1
        if not same_address:
            del self._by_address[connection.address]

    def __iter__(self) -> Iterator[Connection]:
        return (connection for group in self._by_address.values() for connection in group)


class WaitingConnections:
    """All connections that are waiting for their clients. Not thread-safe: all calls come from one event loop.

    Args:
        limits: bounds on the connections.

    Attributes:
        sending: connections whose request is incomplete.
        idle: connections between requests.
    """

    def __init__(self, limits: ConnectionLimits = ConnectionLimits()) -> None:  # noqa: B008
        self.sending = ConnectionGroup("sending", limits)
        self.idle = ConnectionGroup("idle", limits)
        self._max_held = limits.held_bytes
        self._held = 0

    def hold(self, more: int) -> None:
        """Add bytes of a body to the total, or subtract them; beyond the bound, close a connection with a body."""
        self._held += more
        if more > 0 and self._held > self._max_held:
            with_body = [connection for connection in self.sending if connection.held]
            if with_body:
                close(furthest_behind(with_body), "memory")

    def close_overdue(self, now: float) -> None:
        """Close the connections whose time is over."""
        for connection in [connection for connection in self.sending if connection.due < now]:
            close(connection, "slow")
        for connection in [connection for connection in self.idle if connection.due < now]:
            close(connection, "idle")


def close(connection: Connection, reason: str) -> None:
    """Close a connection, and count it."""
    _CLOSED.labels(reason).inc()
    connection.end(reason)


def furthest_behind(connections: Iterable[Connection]) -> Connection:
    """The connection to close: the one with the least progress, of those that have waited for a moment, if any.

    Every connection gets that moment, whatever it sends in it. Otherwise a client that sends much at first and then
    nothing would stay, while new clients are closed.
    """
    candidates = list(connections)
    waited = [connection for connection in candidates if connection.began < monotonic() - _MIN_WAIT_S]
    if waited:
        return min(waited, key=lambda connection: connection.began + connection.earned)
    return min(candidates, key=lambda connection: connection.began)


def raise_open_files() -> None:
    """Raise the limit on open files, which bounds connections; a shell's default is lower than the limits here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
