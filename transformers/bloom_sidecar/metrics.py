"""Prometheus metrics of the sidecar and of the filters."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter(
    "winnow_sidecar_events_total", "Events read from the stream, by outcome (applied, failed, malformed).", ("outcome",)
)
LATENCY = Histogram(
    "winnow_sidecar_lag_seconds",
    "Time from an event's entry into the stream to its effect on the filters.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
PENDING = Gauge("winnow_sidecar_pending_entries", "Entries that were read but not acknowledged.")
BEHIND = Gauge("winnow_sidecar_behind_entries", "Entries that were not read yet.")
BEHIND_SECONDS = Gauge(
    "winnow_sidecar_behind_seconds", "Age of the oldest entry that is not applied; 0 if there are none."
)
STREAM = Gauge("winnow_event_stream_entries", "Entries in the event stream; `winnow events export` makes room.")
TAKEN_OVER = Counter("winnow_sidecar_taken_over_total", "Entries claimed from a member that did not acknowledge them.")
GAP = Gauge(
    "winnow_sidecar_missed_events",
    "1 while the release lacks events that were trimmed before it read them: run `winnow filters rebuild`.",
)
REFRESHED = Counter("winnow_trending_refreshes_total", "Rewrites of the trending list by this sidecar.")

FILL = Histogram(
    "winnow_filter_fill_ratio",
    "Items divided by capacity in the newest layer of each written seen filter.",
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 2.0),
)
LAYERS = Histogram(
    "winnow_filter_layers",
    "Layers in the largest window of each written seen filter; above 1 the first layer was full.",
    buckets=(1, 2, 3, 4, 6, 8, 12),
)
BYTES = Histogram(
    "winnow_filter_bytes",
    "Size of each written seen filter.",
    buckets=(256, 512, 1024, 2048, 4096, 16384, 65536),
)
ROTATIONS = Counter("winnow_filter_rotations_total", "Expired windows dropped from seen filters.")
UNREADABLE = Counter(
    "winnow_filter_unreadable_total", "Failed reads of stored filters in an invalid format; their events stay pending."
)
REBUILDS = Gauge("winnow_filter_rebuilds", "Rebuilds of the release's filters.")
PROBES = Counter(
    "winnow_filter_probes_total", "Unseen items of sampled users tested against the filter, by its answer.", ("answer",)
)
FALSE_NEGATIVES = Counter(
    "winnow_filter_false_negatives_total", "Seen items of sampled users that the filter did not report; must stay 0."
)
FALSE_POSITIVE_RATE = Gauge(
    "winnow_filter_false_positive_rate", "Share of all probes that the filters reported as seen."
)
FALSE_POSITIVE_TARGET = Gauge("winnow_filter_false_positive_target", "The bound on the false-positive rate.")
