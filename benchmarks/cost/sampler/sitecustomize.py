"""Samples the main thread of a Python process by its CPU time, from inside; ``PYTHONPATH`` has it imported first.

A profiler that watches from outside counts a thread as busy while it waits for a core: on a shared machine much of the
time, and most of it just after the thread has woken another process. ``SIGPROF`` is sent per CPU time used, and every
stack counts for the CPU time of the main thread since the one before.

``SIGUSR1`` starts the sampling; ``SIGUSR2`` ends it and writes lines ``STACK NANOSECONDS`` to the file ``PID.stacks``
of the folder ``WINNOW_SAMPLES``.
"""

import dis
import os
import signal
import time
from collections import Counter
from types import FrameType

_INTERVAL_S = 0.002
_RESUME = dis.opmap["RESUME"]

_spent: Counter[str] = Counter()
_last_ns = 0


def _sample(number: int, frame: FrameType | None) -> None:
    global _last_ns
    # Python handles a signal when a call of C returns, or where a function starts or goes on: what ran before a
    # function's start is its caller, or the event loop.
    if frame is not None and frame.f_code.co_code[frame.f_lasti] == _RESUME:
        frame = frame.f_back
    frames: list[str] = []
    while frame is not None:
        frames.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    now_ns = time.thread_time_ns()
    _spent[";".join(reversed(frames))] += now_ns - _last_ns
    _last_ns = time.thread_time_ns()


def _start(number: int, frame: FrameType | None) -> None:
    global _last_ns
    _spent.clear()
    _last_ns = time.thread_time_ns()
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    path = os.path.join(os.environ["WINNOW_SAMPLES"], f"{os.getpid()}.stacks")
    # Renamed when complete: the benchmark waits for the name.
    with open(path + ".part", "w") as file:
        file.writelines(f"{stack} {spent}\n" for stack, spent in _spent.items())
    os.replace(path + ".part", path)


if "WINNOW_SAMPLES" in os.environ:
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, _start)
    signal.signal(signal.SIGUSR2, _stop)
