"""A change of the live release: ``winnow promote`` or ``winnow rollback``, run in the background, one at a time.

The command runs in a session of its own with the lock on ``run/explorer/change.lock``, so that it goes on, and no
second one starts, when the explorer is stopped or restarted meanwhile. ``change.json`` beside it says what was asked
and, at last, the exit code; ``change.log`` is what the command printed.
"""

import json
import subprocess
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from winnow import files
from winnow.errors import WinnowError
from winnow.explorer.releases.commands import command_line, environment
from winnow.home import held, taken
from winnow.lifecycle.live import Live
from winnow.local.stack_state import StackState

Action = Literal["promote", "rollback"]

ChangeStep = Literal["judging", "checking", "moving", "ending", "done", "refused", "failed", "unknown"]
"""``judging`` by the gate, ``checking`` the files, ``moving`` the stack to the release, and how it ended: ``unknown``
where the explorer was stopped before the command."""

REFUSED = 3
"""Exit code of a command whose release the gate refused."""

MAX_LOG_BYTES = 1 << 18
"""Of the log, its end is shown."""

_PATIENCE_S = 1.0
"""A reader of the file holds its lock for an instant, too."""


class Busy(WinnowError):
    """Another change of the live release is under way."""


@dataclass(frozen=True)
class Change:
    """A change of the live release.

    Attributes:
        action: what was asked.
        release: the release that is to become live.
        before: the release that was live; ``None`` where none was.
        judged: whether the gate judges the release first.
        started: when, in ISO format.
        code: exit code of the command; ``None`` while it runs, and where it is not known.
    """

    action: Action
    release: int
    before: int | None
    judged: bool
    started: str
    code: int | None = None


class Changes:
    """The changes of a home's live release that pages ask for.

    Args:
        home: WINNOW_HOME.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "run" / "explorer" / "change.json"
        self._lock, self._log = self._file.with_suffix(".lock"), self._file.with_suffix(".log")

    def start(self, action: Action, release: int, before: int | None, judged: bool) -> None:
        """Start a change in the background.

        Args:
            action: what to do.
            release: that is to become live.
            before: that is live.
            judged: whether the gate judges it first; a rollback is never judged.

        Raises:
            Busy: another change is under way.
            WinnowError: the command cannot be started.
        """
        change = Change(action, release, before, judged, datetime.now(UTC).isoformat(timespec="seconds"))
        arguments = ["rollback"]
        if action == "promote":
            arguments = ["promote", *([] if judged else ["--no-gate"]), str(release)]
        with ExitStack() as exits:
            try:
                lock = exits.enter_context(held(self._lock, "", _PATIENCE_S))
            except WinnowError:
                raise Busy("Another change of the live release is under way: wait until it has ended.") from None
            except OSError as error:
                raise WinnowError(f"{self._lock} cannot be written: {error.strerror}") from error
            self._write(change)
            process = self._command(arguments, lock)
            waiting = exits.pop_all()
        threading.Thread(target=self._finish, args=(process, change, waiting), daemon=True).start()

    def last(self) -> tuple[Change, bool] | None:
        """The last change, and whether it is under way; ``None`` without one."""
        try:
            with self._lock.open() as lock:
                runs = not taken(lock, shared=True)
            return Change(**json.loads(self._file.read_bytes())), runs
        except (OSError, ValueError, TypeError):
            return None

    def log(self) -> str:
        """What the command has printed, its end."""
        try:
            with self._log.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - MAX_LOG_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _command(self, arguments: Sequence[str], lock: IO[str]) -> "subprocess.Popen[bytes]":
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 (our own command with a number)
                command_line(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self._home),
                # Ctrl-C of the terminal, and the end of the explorer, are not for it.
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )

    def _finish(self, process: "subprocess.Popen[bytes]", change: Change, waiting: ExitStack) -> None:
        with waiting:
            self._write(replace(change, code=process.wait()))

    def _write(self, change: Change) -> None:
        files.write(str(self._file), json.dumps(asdict(change)).encode())


def step(change: Change, runs: bool, pin: Live | None, stack: StackState | None) -> ChangeStep:
    """How far a change is.

    Args:
        change: the change.
        runs: whether it is under way.
        pin: of the home.
        stack: the home's running stack.
    """
    if not runs:
        if change.code is None:
            return "unknown"
        return "done" if change.code == 0 else "refused" if change.code == REFUSED else "failed"
    if pin is None or pin.release != change.release:
        return "judging" if change.judged else "checking"
    moves = stack is not None and not (stack.ready and stack.release == change.release)
    return "moving" if moves else "ending"
