"""The live release of a home: the one that ``live.json`` names, the home's pin.

The pin moves in one step, locally and on S3, so that a process that is killed at any moment leaves the old pin or the
new one; of two processes that move it at the same time, one fails.
"""

from contextlib import suppress
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from winnow import files
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.files import inside
from winnow.lifecycle import conditional_writes
from winnow.lifecycle.claims import RELEASES, REPOSITORIES
from winnow.release import MANIFEST, Manifest

FILE = "live.json"

KEPT = 10
"""Releases that :func:`rollback` can go back to, one after the other."""


class Live(BaseModel):
    """The pin of a home.

    Attributes:
        release: the live release.
        previous: the release that a rollback makes live; ``None`` where there is none.
        since: when the pin moved to ``release``.
        earlier: the releases that were live before ``previous``, the latest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int
    previous: int | None
    since: datetime
    earlier: tuple[int, ...] = ()

    @property
    def reachable(self) -> tuple[int, ...]:
        """The releases that rollbacks lead to, in this order."""
        return () if self.previous is None else (self.previous, *self.earlier)


def live(home: str) -> Live | None:
    """The pin of a home, a folder or an ``s3://`` address; ``None`` where no release was promoted.

    Raises:
        WinnowError: the pin cannot be read.
    """
    return _read(home)[0]


def promote(home: str, number: int) -> Live:
    """Make a release the live one; nothing changes where it is live already.

    Raises:
        ReleaseMismatch: a file of the release is missing or has changed.
        WinnowError: the home has no such release, it was built with a hold-out, or another process moved the pin.
    """
    manifest = check_whole(home, number)
    if manifest.holdout != "none":
        raise WinnowError(
            f"release {number} was built with --holdout {manifest.holdout}, for evaluation: it lacks the newest "
            "events; promote one that was built from all of them"
        )
    before, content = _read(home)
    if before is not None and before.release == number:
        return before
    back = () if before is None else (before.release, *before.reachable)
    return _move(home, number, tuple(release for release in back if release != number), content)


def rollback(home: str) -> Live:
    """Make the previous release the live one again. Repeated, it goes further back.

    It was checked when it was promoted, and is not read again: a rollback takes no longer for a large release.

    Raises:
        WinnowError: the home has no previous release, its folder is gone, or another process moved the pin.
    """
    before, content = _read(home)
    if before is None or before.previous is None:
        raise WinnowError(f"{home} has no previous release to go back to: `winnow promote N` makes release N live")
    _manifest(home, before.previous)
    return _move(home, before.previous, before.earlier, content)


def restore(home: str, before: Live | None, after: Live) -> None:
    """Take back a promotion to a release that turned out not to serve: the pin is what it was before.

    Nothing changes where the pin is no longer what the promotion made it.

    Args:
        home: a folder.
        before: the pin before the promotion; ``None`` where there was none.
        after: the pin that the promotion made.

    Raises:
        WinnowError: the pin cannot be read or written.
    """
    address = inside(home, FILE)
    with suppress(conditional_writes.FileChanged):
        if before is None:
            # Without a pin, the stack serves what it was started with.
            if live(home) == after:
                files.delete(address)
        else:
            conditional_writes.exchange(address, _text(after), _text(before))


def check_whole(home: str, number: int) -> Manifest:
    """Check every file of a release, of its folder and its models, against the manifest, which is returned.

    Raises:
        ReleaseMismatch: a file is missing or has changed.
        WinnowError: the home has no such release.
    """
    manifest = _manifest(home, number)
    folder, repository = (inside(home, name, str(number)) for name in (RELEASES, REPOSITORIES))
    digests = manifest.digests(folder, repository)
    configs = [inside(repository, name, "config.pbtxt") for name in manifest.models]
    for address in [*digests, *configs]:
        try:
            whole = files.sha256(address) == digests[address] if address in digests else files.size(address) > 0
        except files.FileMissing:
            whole = False
        if not whole:
            raise ReleaseMismatch(
                f"{address} is missing or has changed since release {number} was built: build a new release with "
                "`winnow build`"
            )
    return manifest


def _manifest(home: str, number: int) -> Manifest:
    address = inside(home, RELEASES, str(number), MANIFEST)
    try:
        return Manifest.model_validate_json(files.read(address))
    except files.FileMissing:
        raise WinnowError(f"{home} has no release {number}: `winnow releases` lists what it has") from None
    except ValidationError as error:
        raise WinnowError(f"{address} is not a release manifest: {error}") from error


def _read(home: str) -> tuple[Live | None, bytes | None]:
    """The pin and its bytes."""
    address = inside(home, FILE)
    try:
        content = files.read(address)
    except files.FileMissing:
        return None, None
    try:
        return Live.model_validate_json(content), content
    except ValidationError as error:
        raise WinnowError(
            f"{address} does not name a live release ({error.errors()[0]['msg']}): remove it, and choose the release "
            "with `winnow promote N`"
        ) from error


def _move(home: str, number: int, back: tuple[int, ...], content: bytes | None) -> Live:
    """Move the pin to a release, with the releases ``back`` behind it, unless it changed since it was ``content``."""
    previous, *earlier = back or (None,)
    pin = Live(release=number, previous=previous, since=datetime.now(UTC), earlier=tuple(earlier[: KEPT - 1]))
    conditional_writes.exchange(inside(home, FILE), content, _text(pin))
    return pin


def _text(pin: Live) -> bytes:
    return pin.model_dump_json(indent=1).encode()
