"""Winnow: a multistage, multimodal recommender, from a log of events to a served recommendation."""

import os

# ONNX Runtime sends usage data unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Threads that wait for each other must sleep: spinning, they take the cores from those they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
