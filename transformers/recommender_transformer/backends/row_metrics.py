"""What the transformer tells Prometheus of the item rows it works with: where they came from, and how old they are."""

from prometheus_client import Counter, Gauge, Histogram

from recommender_transformer.backends.online_store import HELD_BYTES, Lookup, OnlineStore

_ROWS = Counter("winnow_item_rows_total", "Item rows given out, by where they came from.", ("source",))
_HELD, _FETCHED = _ROWS.labels("process"), _ROWS.labels("redis")
_UNKNOWN = Counter("winnow_unknown_items_total", "Candidates dropped because Redis has no row of theirs.")
_AGE = Histogram(
    "winnow_item_row_age_seconds",
    "Age of the oldest row of a batch that lay in the process; more than the time to live when Redis is away.",
    buckets=(0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
)
_BYTES = Gauge("winnow_item_rows_held_bytes", "Bytes of the item rows that lie in the process.")
_LIMIT = Gauge("winnow_item_rows_held_bytes_limit", "Bytes that the item rows in the process may take.")


def observe(lookup: Lookup) -> None:
    """Take note of one batch of rows."""
    # A counter costs half a microsecond, and most of the time there is nothing to count.
    if lookup.held:
        _HELD.inc(lookup.held)
        _AGE.observe(lookup.oldest_s)
    if lookup.fetched:
        _FETCHED.inc(lookup.fetched)
    if lookup.unknown:
        _UNKNOWN.inc(lookup.unknown)


def watch(store: OnlineStore) -> None:
    """Tell of this store's size from now on."""
    _BYTES.set_function(lambda: store.held_bytes)
    _LIMIT.set(HELD_BYTES)
