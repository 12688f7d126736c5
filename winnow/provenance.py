"""The inputs of a build, recorded beside what each of its steps wrote.

A release's manifest names the inputs of all its parts. A step records its own in the folder that it writes, so they
reach the export with the artefacts rather than as parameters of every step between.
"""

import json
from pathlib import Path

from winnow import files
from winnow.errors import WinnowError
from winnow.release import BuildInputs, Holdout, Release, numbers

_FILE = "inputs.json"


def record(folder: Path | str, **inputs: str | int) -> None:
    """Write a step's inputs into its folder.

    Args:
        folder: what the step wrote: a folder, or its ``s3://`` address.
        inputs: fields of :class:`~winnow.release.BuildInputs` that the step was given.

    Raises:
        WinnowError: the folder cannot be written.
    """
    files.write(files.inside(str(folder), _FILE), json.dumps(inputs, indent=1).encode())


def recorded(*folders: Path) -> BuildInputs:
    """The inputs that the steps of a build recorded, together.

    Args:
        folders: what the steps wrote.
    """
    inputs: dict[str, str | int] = {}
    for folder in folders:
        inputs |= json.loads((folder / _FILE).read_bytes())
    return BuildInputs.model_validate(inputs)


def start_of(releases: Path, number: int, holdout: Holdout) -> Release:
    """The release that an incremental build goes on from.

    A build that holds events out for evaluation must not go on from a release that has learned them. It goes on from
    that release's twin: the newest release of the same inputs that was built with the hold-out, and not later.

    Args:
        releases: the folder of the releases.
        number: the release that was asked for.
        holdout: of the build.

    Raises:
        WinnowError: there is no such release, or none with this hold-out.
    """
    asked = Release.open(releases / str(number)).manifest
    if asked.holdout == holdout:
        return Release.open(releases / str(number))
    if holdout == "none":
        raise WinnowError(
            f"release {number} was built with --holdout last, for evaluation, and lacks events: go on from one that "
            "was built without"
        )
    for each in reversed(numbers(releases)):
        found = Release.open(releases / str(each))
        twin = found.manifest.holdout == holdout and found.manifest.source.is_like(asked.source)
        if twin and found.manifest.as_of <= asked.as_of:
            return found
    raise WinnowError(
        f"release {number} has learned the events that --holdout last holds out, and has no twin that has not: no "
        "release of its inputs was built with --holdout last before it. Build with --holdout last and without --from"
    )
