"""What a pipeline run prints: all of it to a log file; steps, bars and lines for people to the terminal."""

import re
from io import TextIOBase
from typing import TextIO


class Screen(TextIOBase):
    """Stands in for standard output while ``kfp.local`` runs.

    Args:
        log: takes everything.
        terminal: takes a line per step, the bar that is moving (only where it is a terminal) and the lines that
            steps mark with ``winnow:``.

    Attributes:
        step: the step that runs, or ran last; empty before the first.
    """

    def __init__(self, log: TextIO, terminal: TextIO) -> None:
        self.step = ""
        self._log = log
        self._terminal = terminal
        self._rest = ""

    def write(self, text: str) -> int:
        """Take a piece of the run's output."""
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if bar := re.search(r"\S.*\d+%\|.*", line):
            if self._terminal.isatty():
                self._terminal.write(f"\r\x1b[K  {bar[0]}")
        elif step := re.search(r"Executing task .*?'([\w-]+)", line):
            self.step = step[1]
            self._say(f"▸ {step[1]}")
        elif line.strip().startswith("winnow: "):
            self._say(f"  {line.strip().removeprefix('winnow: ')}")

    def _say(self, line: str) -> None:
        clear = "\r\x1b[K" if self._terminal.isatty() else ""
        self._terminal.write(f"{clear}{line}\n")
        self._terminal.flush()
