"""What a pipeline's process hands back, as a small JSON file: the release's number, or the sentence that ended it.

A pipeline's steps are processes of their own, and what they print is for the log. Their result crosses here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.errors import WinnowError, as_winnow_error

VARIABLE = "WINNOW_OUTCOME"
"""Environment variable that names the file; without it, as on the cluster, nothing is written."""


class Outcome(BaseModel):
    """How a run ended.

    Attributes:
        release: the number of the release that was built, if any.
        error: what went wrong and what to do about it; empty where nothing did.
        exit_code: of the whole command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int | None = None
    error: str = ""
    exit_code: int = 0

    @classmethod
    def of(cls, error: WinnowError) -> "Outcome":
        """The outcome of a run that ``error`` ended."""
        return cls(error=str(error), exit_code=error.exit_code)

    def write(self, path: Path) -> None:
        """Write it whole, or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Outcome | None":
        """What was written; None where nothing was."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None


@contextmanager
def reported() -> Iterator[None]:
    """Write the error that ends a step, where it is one that a person can put right; any other is a bug.

    Raises:
        Exception: whatever ended the step, for the runner to see.
    """
    try:
        yield
    except (WinnowError, OSError) as error:
        path, shown = os.environ.get(VARIABLE), as_winnow_error(error)
        if path and shown:
            Outcome.of(shown).write(Path(path))
        raise
