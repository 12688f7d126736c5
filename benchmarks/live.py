"""Everything that is promised of the online half, from an event to an answer (``python -m benchmarks live``)."""

from benchmarks import bloom, cluster, drain, failures, fetch, freshness, generated, overload, skew, slow_clients
from benchmarks.rows import Row


def measure() -> list[Row]:
    """All parts, one after the other.

    Raises:
        WinnowError: there is no release to serve.
    """
    parts = (freshness, bloom, fetch, overload, slow_clients, failures, drain, cluster, generated, skew)
    return [row for part in parts for row in part.measure()]
