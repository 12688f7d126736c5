"""The report of an evaluation as a document: the one in the home, or one that is made now."""

import asyncio
import sys
from pathlib import Path

from winnow.errors import WinnowError
from winnow.evaluation import record as records
from winnow.explorer.releases import commands
from winnow.lifecycle import verdict as verdicts

_FILE = "report.html"
_SECONDS = 120.0
_KEPT = 4
"""Made reports that stay in memory; each has a few hundred kilobytes."""

_PROGRAM = "import sys; from winnow.reporting.page import report; print(report(sys.argv[1], int(sys.argv[2])))"

_Stamps = tuple[int, ...]


class Reports:
    """The reports of a home. One is made by a process of its own, which draws charts in up to 300 MB.

    Args:
        home: WINNOW_HOME.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: dict[tuple[int, _Stamps], bytes] = {}
        self._one = asyncio.Lock()

    async def of(self, number: int) -> bytes:
        """The report of an evaluated release, with what the gate said until now. Nothing is written.

        Raises:
            WinnowError: it cannot be made.
        """
        folder = Path(records.folder(str(self._home), number))
        written, *shown = (_changed(folder / name) for name in (_FILE, records.FILE, verdicts.FILE))
        if written and written >= max(shown):
            return await asyncio.to_thread((folder / _FILE).read_bytes)
        key = (number, tuple(shown))
        async with self._one:
            if key not in self._made:
                self._made[key] = await self._make(number)
                while len(self._made) > _KEPT:
                    del self._made[next(iter(self._made))]
            return self._made[key]

    async def _make(self, number: int) -> bytes:
        command = [sys.executable, "-P", "-c", _PROGRAM, str(self._home), str(number)]
        done = await commands.run(command, self._home, _SECONDS)
        if done.code:
            raise WinnowError(f"the report of release {number} cannot be made: {done.errors.strip()[-2000:]}")
        return done.output


def _changed(path: Path) -> int:
    """When a file changed, in nanoseconds; 0 without one."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
