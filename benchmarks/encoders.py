"""Everything that is promised of the encoders, from parity to the answer (``python -m benchmarks encoders``)."""

from benchmarks import cold, encoders_parity, extraction, fresh, hostile, learning, throughput
from benchmarks.rows import Row


def measure(show_progress: bool) -> list[Row]:
    """All parts, one after the other; the last two serve the newest release apart.

    Args:
        show_progress: draw progress bars.

    Raises:
        WinnowError: there is no release to serve.
    """
    parts = (encoders_parity, learning, cold, throughput, extraction)
    rows = [row for part in parts for row in part.measure(show_progress)]
    return rows + fresh.measure() + hostile.measure()
