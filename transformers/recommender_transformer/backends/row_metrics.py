"""Prometheus metrics of item rows: where they came from, how old they are, and the size of the cache."""

from prometheus_client import Counter, Gauge, Histogram

from recommender_transformer.backends.online_store import HELD_BYTES, Lookup, OnlineStore

_ROWS = Counter("winnow_item_rows_total", "Item rows returned, by where they came from.", ("source",))
_HELD, _FETCHED = _ROWS.labels("process"), _ROWS.labels("redis")
_UNKNOWN = Counter("winnow_unknown_items_total", "Candidates dropped because Redis has no row of the item.")
_AGE = Histogram(
    "winnow_item_row_age_seconds",
    "Age of the oldest cached row of a batch; exceeds the time to live while Redis is not available.",
    buckets=(0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
)
_BYTES = Gauge("winnow_item_rows_held_bytes", "Bytes of the cached item rows.")
_LIMIT = Gauge("winnow_item_rows_held_bytes_limit", "Bound on the bytes of the cached item rows.")


def observe(lookup: Lookup) -> None:
    """Count one batch of rows."""
    # A counter costs half a microsecond, and most batches have nothing to count.
    if lookup.held:
        _HELD.inc(lookup.held)
        _AGE.observe(lookup.oldest_s)
    if lookup.fetched:
        _FETCHED.inc(lookup.fetched)
    if lookup.unknown:
        _UNKNOWN.inc(lookup.unknown)


def watch(store: OnlineStore) -> None:
    """Export the size of this store's cache."""
    _BYTES.set_function(lambda: store.held_bytes)
    _LIMIT.set(HELD_BYTES)
