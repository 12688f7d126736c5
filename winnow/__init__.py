"""Winnow: a multistage, multimodal recommender, from a log of events to a served recommendation."""

import os

from winnow.errors import DataError, ReleaseMismatch, WinnowError

__all__ = ["DataError", "ReleaseMismatch", "WinnowError"]

# ONNX Runtime sends usage data unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Limits how long an idle OpenMP thread spins, to a few microseconds. By default it spins without end and takes the core
# from the thread it waits for, or from another program; without spinning, every small operation of a training step pays
# for a wake-up.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
