"""A home that a step has for itself: where it serves releases that are artefacts of a run or lie in another home."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.lifecycle.transfer import download, numbers
from winnow.release import Release


@contextmanager
def scratch(candidate: Path, home: str, live: int) -> Iterator[tuple[Path, Release, Release | None]]:
    """Make a home of this process with a candidate and the live release.

    Args:
        candidate: folder with one release, in the layout of a home.
        home: folder or ``s3://`` address that has the live release.
        live: its number; 0 without one.

    Yields:
        The home, the candidate, and the live release.

    Raises:
        ReleaseMismatch: a file of a release is missing or has changed.
        WinnowError: a release cannot be read.
    """
    (number,) = numbers(str(candidate))
    before = os.environ.get("WINNOW_HOME")
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        own = Path(folder)
        os.environ["WINNOW_HOME"] = folder
        try:
            judged = download(str(candidate), number, own, show_progress=True)
            yield own, judged, download(home, live, own, show_progress=True) if live else None
        finally:
            os.environ.pop("WINNOW_HOME")
            if before is not None:
                os.environ["WINNOW_HOME"] = before
