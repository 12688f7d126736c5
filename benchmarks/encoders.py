"""Every benchmark of the encoders, from parity to recommendations (``python -m benchmarks encoders``)."""

import tempfile
from pathlib import Path

from benchmarks.common import encoder_subjects
from benchmarks.common.rows import Row
from benchmarks.faults import hostile_media
from benchmarks.latency import encoder_throughput, new_items
from benchmarks.quality import cold_start_items, embedding_extraction, encoder_learning, encoder_parity


def measure(show_progress: bool) -> list[Row]:
    """Run all parts, one after another; the last two serve the newest release on a stack of their own.

    Args:
        show_progress: draw progress bars.

    Raises:
        WinnowError: there is no release to serve, or the real data is missing.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-encoders-") as scratch:
        measured = encoder_subjects.subjects(Path(scratch), show_progress)
        rows = encoder_parity.measure(measured) + encoder_throughput.measure(measured)
    rows += [
        row
        for part in (encoder_learning, cold_start_items, embedding_extraction)
        for row in part.measure(show_progress)
    ]
    return rows + new_items.measure() + hostile_media.measure()
