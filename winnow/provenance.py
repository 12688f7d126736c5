"""The inputs of a build, recorded beside what each of its steps wrote.

A release's manifest names the inputs of all its parts. A step records its own in the folder that it writes, so they
reach the export with the artefacts rather than as parameters of every step between.
"""

import json
from pathlib import Path

from winnow import files
from winnow.release import BuildInputs

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
