"""The release that an incremental build goes on from."""

from pathlib import Path

from winnow.errors import WinnowError
from winnow.lifecycle.live import live
from winnow.release import Holdout, Release, numbers


def start_of(home: Path, number: int, holdout: Holdout) -> Release:
    """The release that an incremental build goes on from.

    A build that holds events out for evaluation must not go on from a release that has learned them. It goes on from
    that release's twin: the newest release of the same inputs that was built with the hold-out, and not later.

    Args:
        home: a home on this machine.
        number: the release that was asked for; 0 asks for the live one.
        holdout: of the build.

    Raises:
        WinnowError: there is no such release, or none with this hold-out.
    """
    releases = home / "releases"
    if not number:
        pin = live(str(home))
        if pin is None:
            raise WinnowError(f"no release of {home} is live: name the release to go on from, or build in full first")
        number = pin.release
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
