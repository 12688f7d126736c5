"""What does a build of MovieLens 100K cost? Processor seconds of all its processes, by step and by part of training.

Processor seconds, not minutes: other programs on the machine disturb them far less.
"""

import resource
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.common.rows import Row, row
from benchmarks.value import ratings
from winnow import home
from winnow.cli.build import run_build
from winnow.evaluation.report import evaluate
from winnow.release import BuildInputs
from winnow.settings.training import TrainingSettings
from winnow.training import train
from winnow.training.ranker import train as ranker
from winnow.training.ranker.tensors import ListTensorBuilder
from winnow.training.retriever.course import Course
from winnow.training.tables.source_tables import SourceTables

MOST_SECONDS = 395
"""Half of what the build cost before its training counted threads: 790."""

_EVERY = 0.2
"""Seconds between two readings of the processes: what a step uses after its last reading counts as the rest's."""

_STEP = "--function_to_execute"

PARTS: dict[str, tuple[object, str]] = {
    "the retriever's holdout fit": (Course, "holdout_fit"),
    "the retriever's served fit": (Course, "served"),
    "tables of the sources": (SourceTables, "fit"),
    "the ranker's lists": (ranker, "past_lists"),
    "the lists' tensors": (ListTensorBuilder, "build"),
    "the ranker's epochs": (ranker, "_fit"),
}
"""Part of training -> the function that it is."""


def measure() -> list[Row]:
    """Processor seconds of a build, and the ndcg@10 that they buy."""
    data = ratings.data("plain")
    before = _children_s()
    with readings() as steps:
        release = run_build(BuildInputs(data=str(data)), "last")
    total = _children_s() - before
    rows = [row("MovieLens 100K, a build", total, "CPU s", f"<= {MOST_SECONDS}")]
    rows += [row(f"step {name}", seconds, "CPU s") for name, seconds in steps.items()]
    rows.append(row("start of the processes and the pipeline", total - sum(steps.values()), "CPU s"))
    [features] = home.pipelines().glob("*/extract/features")
    rows += [row(f"training, {part}", seconds, "CPU s") for part, seconds in _training(features).items()]
    found = evaluate(release)["metrics"]
    return [*rows, *(row(f"{part}'s ndcg@10", found[part]["ndcg@10"], "") for part in ("retriever", "funnel"))]


def _children_s() -> float:
    """Processor seconds of the ended child processes and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def readings() -> Iterator[dict[str, float]]:
    """Read the processes of a build's steps while the block runs.

    Yields:
        Step -> processor seconds, in the order of the steps.
    """
    ended, steps = threading.Event(), dict[str, float]()

    def read() -> None:
        me = psutil.Process()
        while not ended.wait(_EVERY):
            for process in me.children(recursive=True):
                try:
                    command, used = process.cmdline(), process.cpu_times()
                except psutil.Error:
                    continue  # it has ended
                if _STEP in command:
                    step = command[command.index(_STEP) + 1]
                    steps[step] = max(steps.get(step, 0.0), sum(used[:4]))  # a shell may have the same arguments

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield steps
    finally:
        ended.set()
        reader.join()


def _training(features: Path) -> dict[str, float]:
    """Train again, in this process: part -> processor seconds."""
    spent: dict[str, float] = defaultdict(float)

    def metered(part: str, function: Any) -> Any:
        def run(*given: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return function(*given, **named)
            finally:
                spent[part] += time.process_time() - started

        return run

    with ExitStack() as patches, TemporaryDirectory() as folder:
        for part, (owner, name) in PARTS.items():
            patches.enter_context(patch.object(owner, name, metered(part, getattr(owner, name))))
        train.train_models(features, Path(folder) / "retriever", Path(folder) / "ranker", TrainingSettings())
    return dict(spent)
