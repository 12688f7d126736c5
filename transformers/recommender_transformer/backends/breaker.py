"""A circuit breaker: a part that failed several times in a row is spared for a moment, then one request asks it."""

from time import monotonic

from prometheus_client import Gauge

FAILURES = 5
"""Failures in a row that open the circuit: one bad connection is no outage."""

OPEN_S = 0.5
"""How long an open circuit spares the part, and everybody the waiting. Whoever is back is found this soon."""

_OPEN = Gauge("winnow_circuit_open", "1 while a part is not asked because it kept failing.", ("component",))


class Breaker:
    """Decides whether a part is asked. It runs inside one event loop, so nothing is locked.

    While the circuit is open, one request in :data:`OPEN_S` is let through. Its success closes the circuit; its
    failure, or its silence where the caller left, changes nothing, and the next is let through when it is time again.

    Args:
        component: whom the metric names.
    """

    def __init__(self, component: str) -> None:
        self._failures = 0
        self._spared_until = 0.0
        self._open = _OPEN.labels(component)
        self._open.set(0)

    def admits(self) -> bool:
        """Whether to ask now; whoever is let through should tell what came of it."""
        if self._failures < FAILURES:
            return True
        now = monotonic()
        if now < self._spared_until:
            return False
        self._spared_until = now + OPEN_S
        return True

    def succeeded(self) -> None:
        """The part answered."""
        if self._failures:
            self._failures = 0
            self._open.set(0)

    def failed(self) -> None:
        """The part is down, or did not answer although it had time."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._spared_until = monotonic() + OPEN_S
            self._open.set(1)
