"""A circuit breaker: after several failures in a row a component is not called, except for one probe at intervals."""

from time import monotonic

from prometheus_client import Gauge

FAILURES = 5
"""Consecutive failures that open the circuit; fewer may be a single bad connection."""

OPEN_S = 0.5
"""Interval between the probes of an open circuit, and so the longest time until a recovery is noticed."""

_OPEN = Gauge("winnow_circuit_open", "1 while a component is not called because it kept failing.", ("component",))


class Breaker:
    """Decides whether a component is called. Not thread-safe: all calls come from one event loop.

    While the circuit is open, one request per :data:`OPEN_S` is admitted as a probe. Its success closes the circuit.
    After its failure, or if it is cancelled, the next probe is admitted after another interval.

    Args:
        component: label of the metric.
    """

    def __init__(self, component: str) -> None:
        self._failures = 0
        self._next_probe = 0.0
        self._open = _OPEN.labels(component)
        self._open.set(0)

    def admits(self) -> bool:
        """Whether to call the component now; the caller reports the result of an admitted call."""
        if self._failures < FAILURES:
            return True
        now = monotonic()
        if now < self._next_probe:
            return False
        self._next_probe = now + OPEN_S
        return True

    def succeeded(self) -> None:
        """Record that the component answered."""
        if self._failures:
            self._failures = 0
            self._open.set(0)

    def failed(self) -> None:
        """Record that the component failed, or did not answer although it had time to."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._next_probe = monotonic() + OPEN_S
            self._open.set(1)
