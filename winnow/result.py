"""The result of a pipeline run as a small JSON file: the number of the release, or the error.

The steps of a pipeline are separate processes whose output goes to a log; the file carries their result.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.errors import WinnowError, as_winnow_error

VARIABLE = "WINNOW_RESULT"
"""Environment variable with the path of the file; where it is unset, as on the cluster, no file is written."""


class RunResult(BaseModel):
    """The result of a run.

    Attributes:
        release: the number of the release that was built; ``None`` where none was.
        error: the error message; empty where the run succeeded.
        exit_code: the exit status of the command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int | None = None
    error: str = ""
    exit_code: int = 0

    @classmethod
    def of(cls, error: WinnowError) -> "RunResult":
        """The result of a run that failed with ``error``."""
        return cls(error=str(error), exit_code=error.exit_code)

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> "RunResult | None":
        """Read the file; ``None`` where it is missing."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None


@contextmanager
def reported() -> Iterator[None]:
    """Write an error that ends a step to the result file, if the user can correct it; any other is a bug.

    Raises:
        Exception: the error of the step, unchanged.
    """
    try:
        yield
    except (WinnowError, OSError) as error:
        path, shown = os.environ.get(VARIABLE), as_winnow_error(error)
        if path and shown:
            RunResult.of(shown).write(Path(path))
        raise
