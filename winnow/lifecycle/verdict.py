"""The verdict of the gate: its checks, and the file that it is written to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from winnow import files
from winnow.errors import WinnowError
from winnow.lifecycle.claims import EVALUATIONS

FILE = "gate.json"


class Check(BaseModel):
    """One check.

    Attributes:
        name: what was checked, such as ``metrics: ndcg@10 beside live``.
        passed: whether it holds.
        value: what was measured; ``None`` where nothing was.
        bound: what ``value`` is compared with; ``None`` where it is compared with nothing.
        message: one sentence with the numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    value: float | None = None
    bound: float | None = None
    message: str


class Verdict(BaseModel):
    """What the gate says of a release.

    Attributes:
        release: the release.
        live: the live release that it was compared with; ``None`` without one.
        evaluated: the release that was evaluated in its place, built without the held-out events; ``None`` where no
            evaluation was judged.
        passed: whether every check holds.
        checks: the checks, in the order in which they ran.
        not_run: checks that were left out because cheaper ones had failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int
    live: int | None
    evaluated: int | None
    passed: bool
    checks: tuple[Check, ...]
    not_run: tuple[Literal["replay", "load"], ...] = ()

    @property
    def failed(self) -> Sequence[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if not check.passed]


def address(home: Path | str, number: int) -> str:
    """Where the verdict of a release lies in a home, a folder or an ``s3://`` address."""
    return files.inside(str(home), EVALUATIONS, str(number), FILE)


def read(home: Path | str, number: int) -> Verdict | None:
    """The verdict of a release; ``None`` where the gate was not asked.

    Raises:
        WinnowError: it cannot be read, or is of another version of Winnow.
    """
    place = address(home, number)
    try:
        verdict = Verdict.model_validate_json(files.read(place))
    except files.FileMissing:
        return None
    except ValidationError as error:
        raise WinnowError(
            f"{place} is not a verdict of this version ({error.error_count()} fields): run `winnow gate {number}` again"
        ) from error
    # A verdict lies beside the evaluation that it judged, too.
    return verdict if verdict.release == number else None


def write(home: Path | str, verdict: Verdict) -> str:
    """Write a verdict into a home, in place of an earlier one; returns its address.

    It is written beside the evaluation that was judged as well, whose report shows it.

    Raises:
        WinnowError: the file cannot be written.
    """
    content = verdict.model_dump_json(indent=1).encode()
    for number in {verdict.release, verdict.evaluated or verdict.release}:
        files.write(address(home, number), content)
    return address(home, verdict.release)
