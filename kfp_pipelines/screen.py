"""What a pipeline run prints: all of it to a log file; steps, bars and the error for people to the terminal."""

import re
from io import TextIOBase
from typing import TextIO

INDENT = 4
"""Spaces that kfp puts before each line of a task's output."""


class Screen(TextIOBase):
    """Stands in for standard output while ``kfp.local`` runs.

    Args:
        log: takes everything.
        terminal: takes a line per step, the bar that is moving (only where it is a terminal) and the lines that
            steps mark with ``winnow: ``.

    Attributes:
        error: the message of the :class:`winnow.errors.WinnowError` that ended a step, or empty.
        error_name: its class's name.
    """

    def __init__(self, log: TextIO, terminal: TextIO) -> None:
        self.error_name = ""
        self._error_lines: list[str] = []
        self._log = log
        self._terminal = terminal
        self._rest = ""

    @property
    def error(self) -> str:
        """What the failed step said, its traceback left out."""
        return "\n".join(self._error_lines).strip()

    def write(self, text: str) -> int:
        """Take a piece of the run's output."""
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if raised := re.match(r"\s*winnow\.errors\.(\w+): (.*)", line):
            self.error_name, self._error_lines = raised[1], [raised[2]]
        elif self._error_lines:
            # A traceback ends with its message, so whatever follows belongs to it.
            self._error_lines.append(line[INDENT:])
        elif bar := re.search(r"\S.*\d+%\|.*", line):
            if self._terminal.isatty():
                self._terminal.write(f"\r\x1b[K  {bar[0]}")
        elif step := re.search(r"Executing task .*?'([\w-]+)", line):
            self._say(f"▸ {step[1]}")
        elif line.strip().startswith("winnow: "):
            self._say(f"  {line.strip().removeprefix('winnow: ')}")

    def _say(self, line: str) -> None:
        clear = "\r\x1b[K" if self._terminal.isatty() else ""
        self._terminal.write(f"{clear}{line}\n")
        self._terminal.flush()
