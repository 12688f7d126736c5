"""What the sidecar tells Prometheus of its work and of the filters' health."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("winnow_sidecar_events_total", "Events read from the stream, by what became of them.", ("outcome",))
LATENCY = Histogram(
    "winnow_sidecar_lag_seconds",
    "From an event's entry into the stream to its effect on the filters.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
PENDING = Gauge("winnow_sidecar_pending_entries", "Entries that members of the group read and have not acknowledged.")
BEHIND = Gauge("winnow_sidecar_behind_entries", "Entries that no member of the group has read yet.")
BEHIND_SECONDS = Gauge("winnow_sidecar_behind_seconds", "Age of the oldest entry that is not applied; 0 when all are.")
STREAM = Gauge("winnow_event_stream_entries", "Entries of the event stream, until `winnow events export` makes room.")
TAKEN_OVER = Counter("winnow_sidecar_taken_over_total", "Entries taken over from a member that did not finish them.")
GAP = Gauge(
    "winnow_sidecar_missed_events",
    "1 while the release lacks events that were trimmed before it read them: run `winnow filters rebuild`.",
)
REFRESHED = Counter("winnow_trending_refreshes_total", "How often this sidecar rewrote the trending list.")

FILL = Histogram(
    "winnow_filter_fill_ratio",
    "Items by capacity of the newest layer of each seen filter that was written.",
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 2.0),
)
LAYERS = Histogram(
    "winnow_filter_layers",
    "Layers of the fullest window of each seen filter that was written; more than one is a filter that was saturated.",
    buckets=(1, 2, 3, 4, 6, 8, 12),
)
BYTES = Histogram(
    "winnow_filter_bytes",
    "Size of each seen filter that was written.",
    buckets=(256, 512, 1024, 2048, 4096, 16384, 65536),
)
ROTATIONS = Counter("winnow_filter_rotations_total", "Windows of seen filters dropped because their time was over.")
UNREADABLE = Counter("winnow_filter_unreadable_total", "Times a stored filter could not be read; its events wait.")
REBUILDS = Gauge("winnow_filter_rebuilds", "How often the release's filters were rebuilt from the log.")
PROBES = Counter(
    "winnow_filter_probes_total", "Items a sampled user has not met, asked of the filter, by its answer.", ("answer",)
)
FALSE_NEGATIVES = Counter(
    "winnow_filter_false_negatives_total", "Items a sampled user has met that the filter denied; must stay 0."
)
FALSE_POSITIVE_RATE = Gauge(
    "winnow_filter_false_positive_rate", "Share of the probes so far that the filters took for met items."
)
FALSE_POSITIVE_TARGET = Gauge("winnow_filter_false_positive_target", "The rate that the filters are made for.")
