"""The last start of a run, in the home: triggers start no run until a pause has passed, and two at once start one.

The rules stay fired until a newer release is live, which the gate or a person may refuse. Without a pause, every
trigger until then would start another run.
"""

from contextlib import suppress
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from winnow import files
from winnow.errors import WinnowError
from winnow.lifecycle import conditional_writes
from winnow.lifecycle.conditional_writes import FileChanged

FILE = "trigger.json"


class Start(BaseModel):
    """A run that a trigger started.

    Attributes:
        at: when.
        fired: names of the rules that fired.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    fired: tuple[str, ...]


class Starts:
    """The starts in a home, of which the last is kept.

    Args:
        home: a folder or an ``s3://`` address.

    Attributes:
        last: the last start; ``None`` where there was none.

    Raises:
        WinnowError: the file cannot be read.
    """

    def __init__(self, home: str) -> None:
        self._address = files.inside(home, FILE)
        self._content: bytes | None = None
        self._before: bytes | None = None
        with suppress(files.FileMissing):
            self._content = files.read(self._address)
        try:
            self.last = None if self._content is None else Start.model_validate_json(self._content)
        except ValidationError as error:
            raise WinnowError(
                f"{self._address} does not name the last start ({error.errors()[0]['msg']}): remove it"
            ) from error

    def hours_since(self, now: datetime) -> float | None:
        """Hours since the last start; ``None`` where there was none."""
        return None if self.last is None else (now - self.last.at).total_seconds() / 3600

    def record(self, start: Start) -> bool:
        """Record a start, before it happens; ``False`` where another trigger has recorded one in the meantime.

        Raises:
            WinnowError: the file cannot be written.
        """
        content = start.model_dump_json(indent=1).encode()
        try:
            conditional_writes.exchange(self._address, self._content, content)
        except FileChanged:
            return False
        self._content, self._before = content, self._content
        return True

    def forget(self) -> None:
        """Take the recorded start back, which did not happen.

        Raises:
            WinnowError: the file cannot be written.
        """
        if self._before is None:
            files.delete(self._address)
        else:
            conditional_writes.exchange(self._address, self._content, self._before)
