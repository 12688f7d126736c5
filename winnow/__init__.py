"""Winnow: a multistage, multimodal recommender, from a log of events to a served recommendation."""

import os

# ONNX Runtime sends usage data unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenMP threads that wait for each other spin for half a millisecond at most: for ever, as by default, they take the
# cores from those they wait for; not at all, and every small operation of a training step pays for waking them.
os.environ.setdefault("GOMP_SPINCOUNT", "200000")
