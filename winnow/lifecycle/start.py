"""The release that an incremental build goes on from."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow import files
from winnow.errors import WinnowError
from winnow.lifecycle.claims import RELEASES, REPOSITORIES, TRAINING
from winnow.lifecycle.live import live
from winnow.lifecycle.transfer import download, manifest_of, numbers
from winnow.release import Holdout, Release


def start_of(home: str, number: int, holdout: Holdout) -> int:
    """The number of the release that an incremental build goes on from.

    A build that holds events out for evaluation must not go on from a release that has learned them. It goes on from
    that release's twin: the newest release of the same inputs that was built with the hold-out, and not later.

    Args:
        home: a folder or an ``s3://`` address.
        number: the release that was asked for; 0 asks for the live one.
        holdout: of the build.

    Raises:
        WinnowError: there is no such release, or none with this hold-out.
    """
    if not number:
        pin = live(home)
        if pin is None:
            raise WinnowError(f"no release of {home} is live: name the release to go on from, or build in full first")
        number = pin.release
    asked = manifest_of(home, number)[1]
    if asked.holdout == holdout:
        return number
    if holdout == "none":
        raise WinnowError(
            f"release {number} was built with --holdout last, for evaluation, and lacks events: go on from one that "
            "was built without"
        )
    for each in reversed(numbers(home)):
        found = manifest_of(home, each)[1]
        if found.holdout == holdout and found.source.is_like(asked.source) and found.as_of <= asked.as_of:
            return each
    raise WinnowError(
        f"release {number} has learned the events that --holdout last holds out, and has no twin that has not: no "
        "release of its inputs was built with --holdout last before it. Build with --holdout last and without --from"
    )


@contextmanager
def at_hand(home: str, number: int) -> Iterator[tuple[Release, Path, Path]]:
    """A release with its models and its training state on this machine: those of a folder, copies of those on S3.

    Args:
        home: a folder or an ``s3://`` address.
        number: the release.

    Yields:
        The release, its Triton repository, and its ``training/N``.

    Raises:
        ReleaseMismatch: a file on S3 is missing or differs from the manifest.
        WinnowError: the home has no such release or cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-start-") as scratch:
        folder = Path(home)
        if home.startswith(files.S3):
            folder = Path(scratch)
            download(home, number, folder, folders=(RELEASES, REPOSITORIES, TRAINING))
        release = Release.open(folder / RELEASES / str(number))
        yield release, folder / REPOSITORIES / str(number), folder / TRAINING / str(number)
