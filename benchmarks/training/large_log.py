"""Does a build end in time and memory where the log is large? ``winnow build`` on a generated log without media."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.common.rows import Row, row
from benchmarks.training.synthetic_log import LogSize, write
from winnow.errors import WinnowError

MINUTES, GIBIBYTES = 25, 6
LARGE_GIBIBYTES = 14
_LONGEST_S = 4 * 3600


def measure() -> list[Row]:
    """2,000,000 events of 100,000 users on 100,000 items."""
    return _build(LogSize(events=2_000_000, users=100_000, items=100_000), "", f"<= {MINUTES}", f"<= {GIBIBYTES}")


def measure_largest() -> list[Row]:
    """10,000,000 events of 1,000,000 users on 1,000,000 items, with a budget for the retriever."""
    size = LogSize(events=10_000_000, users=1_000_000, items=1_000_000)
    return _build(size, "retriever: {minutes: 40}\n", "", f"<= {LARGE_GIBIBYTES}")


def _build(size: LogSize, settings: str, minutes: str, gibibytes: str) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="winnow-large-") as scratch:
        data, file = Path(scratch) / "data", Path(scratch) / "training.yaml"
        write(data, size)
        file.write_text(settings)
        command = [str(Path(sys.executable).with_name("winnow")), "build", f"--data={data}", f"--training={file}"]
        process = subprocess.Popen(  # noqa: S603
            command, env=os.environ | {"WINNOW_HOME": str(Path(scratch) / "home")}, stdout=sys.stderr
        )
        started, peak = time.monotonic(), 0
        while process.poll() is None:
            if time.monotonic() - started > _LONGEST_S:
                process.kill()
                raise WinnowError(f"the build did not end within {_LONGEST_S / 3600:.0f} hours")
            peak = max(peak, _memory(process.pid))
            time.sleep(0.5)
        taken = (time.monotonic() - started) / 60
        if process.returncode:
            raise WinnowError(f"the build ended with exit code {process.returncode}")
    name = f"build of {size.events:,} events, {size.users:,} users, {size.items:,} items"
    return [row(name, taken, "min", minutes), row(f"{name}, peak memory", peak / 2**30, "GiB", gibibytes)]


def _memory(pid: int) -> int:
    """Proportional set size of a process and its children: pages that several share count once, mapped files too."""
    total = 0
    try:
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass  # it ended in between: the next reading counts without it
    return total
