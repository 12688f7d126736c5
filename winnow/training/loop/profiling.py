"""Traces of a few training steps, for Perfetto or ``chrome://tracing``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from torch.profiler import profile, schedule

logger = logging.getLogger(__name__)

SKIPPED, WARM_UP, RECORDED = 2, 2, 4
"""Steps of a loop before the profiler starts, while it starts, and in the trace."""


class Steps(Protocol):
    """What a training loop tells the profiler."""

    def step(self) -> None:
        """Say that a step has ended."""


class _Unprofiled:
    def step(self) -> None:
        pass


@contextmanager
def profiled(name: str, folder: Path | None) -> Iterator[Steps]:
    """Profile a training loop: the steps after its first four, on the CPU and, where there is one, the GPU.

    Args:
        name: of the loop and, where several ranks train, the rank: the trace is ``FOLDER/NAME.trace.json``.
        folder: created where it is missing; ``None`` profiles nothing.

    Yields:
        The object whose ``step`` the loop calls after each step.
    """
    if folder is None:
        yield _Unprofiled()
        return
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / f"{name}.trace.json"
    with profile(
        schedule=schedule(wait=SKIPPED, warmup=WARM_UP, active=RECORDED, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(trace)),
        record_shapes=True,
    ) as profiler:
        yield profiler
    if profiler.step_num <= SKIPPED + WARM_UP:
        logger.warning("no step of %s was profiled: it has fewer than %d", name, SKIPPED + WARM_UP + 1)
