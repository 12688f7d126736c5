"""Everything that is promised of the encoders, from parity to the answer (``python -m benchmarks encoders``)."""

import tempfile
from pathlib import Path

from benchmarks import cold, encoders_parity, extraction, fresh, hostile, learning, throughput
from benchmarks.rows import Row


def measure(show_progress: bool) -> list[Row]:
    """All parts, one after the other; the last two serve the newest release apart.

    Args:
        show_progress: draw progress bars.

    Raises:
        WinnowError: there is no release to serve, or the real data is not here.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-encoders-") as scratch:
        measured = encoders_parity.subjects(Path(scratch), show_progress)
        rows = encoders_parity.measure(measured) + throughput.measure(measured)
    rows += [row for part in (learning, cold, extraction) for row in part.measure(show_progress)]
    return rows + fresh.measure() + hostile.measure()
