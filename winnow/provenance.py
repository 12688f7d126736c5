"""The inputs and the costs of a build, recorded beside what each of its steps wrote.

A release's manifest names the inputs of all its parts, and its ``build.json`` what building them took. A step records
its own in the folder that it writes, so they reach the export with the artefacts rather than as parameters of every
step between.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow import files
from winnow.release import BuildInputs

_FILE = "inputs.json"

_COST = "cost.json"

BUILD = "build.json"
"""The release's file with its :class:`BuildRecord`."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cost(_Record):
    """What a step took.

    Attributes:
        step: its name.
        seconds: from its start to its end.
        cpu_seconds: processor time of its processes.
        memory_mb: largest resident memory of one of its processes, in megabytes.
    """

    step: str
    seconds: float
    cpu_seconds: float
    memory_mb: float


class Point(_Record):
    """An epoch of a training.

    Attributes:
        epoch: from 1.
        loss: mean over its steps.
        validation: the validation that followed; ``None`` where none did.
    """

    epoch: int
    loss: float
    validation: float | None = None


class Curve(_Record):
    """The course of a training.

    Attributes:
        validation: what its validations measure; empty without any.
        points: its epochs.
    """

    validation: str
    points: list[Point]


class BuildRecord(_Record):
    """How a release was built.

    Attributes:
        curves: training -> its course.
        steps: the steps in their order.
    """

    curves: dict[str, Curve] = {}
    steps: list[Cost] = []

    @classmethod
    def of(cls, release: Path) -> "BuildRecord":
        """The record in a release's folder; an empty one in releases from before it was written."""
        try:
            return cls.model_validate_json((release / BUILD).read_bytes())
        except FileNotFoundError:
            return cls()


class Stopwatch:
    """Measures a step from here on.

    Args:
        step: its name.
    """

    def __init__(self, step: str) -> None:
        self._step, self._began, self._used = step, time.monotonic(), _used()

    def read(self) -> Cost:
        """What the step has taken until now."""
        # Linux counts in units of 1,024 bytes, macOS in bytes.
        unit = 1.0 if sys.platform == "darwin" else 1024.0
        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return Cost(
            step=self._step,
            seconds=round(time.monotonic() - self._began, 3),
            cpu_seconds=round(_used() - self._used, 3),
            memory_mb=round(largest * unit / 1e6, 1),
        )


@contextmanager
def measured(step: str, folder: Path | str) -> Iterator[None]:
    """Measure a step, and write its :class:`Cost` into its folder once it has succeeded.

    Args:
        step: its name.
        folder: what the step writes: a folder, or its ``s3://`` address.

    Raises:
        WinnowError: the folder cannot be written.
    """
    watch = Stopwatch(step)
    yield
    files.write(files.inside(str(folder), _COST), watch.read().model_dump_json().encode())


def costs(*folders: Path) -> list[Cost]:
    """The costs of the steps that wrote these folders, in this order; without those that recorded none."""
    found = (folder / _COST for folder in folders)
    return [Cost.model_validate_json(path.read_bytes()) for path in found if path.exists()]


def _used() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def record(folder: Path | str, **inputs: str | int) -> None:
    """Write a step's inputs into its folder.

    Args:
        folder: what the step wrote: a folder, or its ``s3://`` address.
        inputs: fields of :class:`~winnow.release.BuildInputs` that the step was given.

    Raises:
        WinnowError: the folder cannot be written.
    """
    files.write(files.inside(str(folder), _FILE), json.dumps(inputs, indent=1).encode())


def carry(source: Path, folder: Path) -> None:
    """Record the inputs of one folder in another, which was made of it.

    Args:
        source: what an earlier step wrote.
        folder: what was made of it.
    """
    record(folder, **json.loads((source / _FILE).read_bytes()))


def recorded(*folders: Path) -> BuildInputs:
    """The inputs that the steps of a build recorded, together.

    Args:
        folders: what the steps wrote.
    """
    inputs: dict[str, str | int] = {}
    for folder in folders:
        inputs |= json.loads((folder / _FILE).read_bytes())
    return BuildInputs.model_validate(inputs)
