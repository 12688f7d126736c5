"""The console of a local run: all output goes to a log file; steps, bars and lines for people to the terminal."""

import re
import time
from io import TextIOBase
from typing import TextIO

_MARK = "winnow: "

EVERY_S = 30.0
"""Seconds between two lines of a bar where the output is a file or a pipe: a long step says how far it is."""


def show(*lines: str) -> None:
    """Print lines for people, from within a step: a local run shows them on its terminal, the cluster in the pod's log.

    No program reads them; results and errors cross in :mod:`winnow.result`.
    """
    for line in lines:
        print(f"{_MARK}{line}")  # noqa: T201


class StepConsole(TextIOBase):
    """Replaces standard output while ``kfp.local`` runs.

    Args:
        log: takes everything.
        terminal: takes a line per step, the moving bar and the lines of :func:`show`. Where it is no terminal, a line
            every :data:`EVERY_S` seconds takes the place of the bar.

    Attributes:
        step: the step that runs, or ran last; empty before the first.
    """

    def __init__(self, log: TextIO, terminal: TextIO) -> None:
        self.step = ""
        self._log = log
        self._terminal = terminal
        self._rest = ""
        self._last = time.monotonic()

    def write(self, text: str) -> int:
        """Write a piece of the run's output."""
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if bar := re.search(r"(\S.*\d+%)\|(?:.*\|)?(.*)", line):
            if self._terminal.isatty():
                self._terminal.write(f"\r\x1b[K  {bar[0]}")
            elif time.monotonic() - self._last >= EVERY_S:
                self._show(f"  {bar[1]}{bar[2]}")
        elif step := re.search(r"Executing task .*?'([\w-]+)", line):
            self.step = step[1]
            self._show(f"▸ {step[1]}")
        elif line.strip().startswith(_MARK):
            self._show(f"  {line.strip().removeprefix(_MARK)}")

    def _show(self, line: str) -> None:
        clear = "\r\x1b[K" if self._terminal.isatty() else ""
        self._terminal.write(f"{clear}{line}\n")
        self._terminal.flush()
        self._last = time.monotonic()
