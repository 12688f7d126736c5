"""Every benchmark of the path from an event to a recommendation (``python -m benchmarks live``)."""

from benchmarks.common.rows import Row
from benchmarks.faults import drain, fault_injection, fuzz, overload, redis_cluster, slow_clients
from benchmarks.latency import catalog_changes, event_freshness, feature_fetch
from benchmarks.quality import bloom_filters, feature_skew


def measure() -> list[Row]:
    """Run all parts, one after another.

    Raises:
        WinnowError: there is no release to serve.
    """
    parts = (
        event_freshness,
        catalog_changes,
        bloom_filters,
        feature_fetch,
        overload,
        slow_clients,
        fault_injection,
        drain,
        redis_cluster,
        fuzz,
        feature_skew,
    )
    return [row for part in parts for row in part.measure()]
