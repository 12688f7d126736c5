"""Which evaluation is that of a release: its own, or that of the newest release of the same inputs."""

from collections.abc import Sequence
from pathlib import Path

from winnow import release
from winnow.evaluation import record
from winnow.evaluation.record import EvaluationRecord
from winnow.lifecycle.transfer import manifest_of
from winnow.release import Manifest


def evaluated(home: Path) -> list[Manifest]:
    """The releases of a home that were evaluated, newest first.

    Raises:
        WinnowError: a manifest cannot be read.
    """
    newest_first = reversed(release.numbers(home / "releases"))
    return [manifest_of(str(home), number)[1] for number in newest_first if record.is_written(str(home), number)]


def evaluation_of(asked: Manifest, among: Sequence[Manifest]) -> int | None:
    """The release whose evaluation says how good a release is; ``None`` where there is none.

    A release that was built from all events is measured by the newest one of the same inputs that lacks the held-out
    events.

    Args:
        asked: the release.
        among: the evaluated releases, newest first.
    """
    if any(each.number == asked.number for each in among):
        return asked.number
    return next((each.number for each in among if each.source.is_like(asked.source)), None)


def record_of(home: Path, asked: Manifest, among: Sequence[Manifest]) -> EvaluationRecord | None:
    """The record of that evaluation; ``None`` where there is none.

    Raises:
        WinnowError: it cannot be read, or is of another version of Winnow.
    """
    number = evaluation_of(asked, among)
    return None if number is None else record.read(str(home), number)
