"""A release goes from one home to another: its models, its evaluations, its folder, and the manifest last.

A release exists where its manifest does (:func:`numbers`). Every other file is written and verified before, so a
process that is killed on the way leaves a whole release or none.
"""

import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from winnow import files
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.lifecycle.claims import EVALUATIONS, RELEASES, REPOSITORIES, TRAINING
from winnow.release import MANIFEST, Manifest, Release

SERVED = (REPOSITORIES, EVALUATIONS, RELEASES)
"""Folders of a release that serving and evaluation need."""

_AT_ONCE = 8
"""Files that are copied at the same time."""


def numbers(home: str) -> list[int]:
    """The numbers of the releases of a home, ascending.

    Raises:
        WinnowError: the home cannot be read.
    """
    root = files.inside(home, RELEASES)
    parts = (address.removeprefix(root).strip("/").split("/") for address in files.walk(root))
    return sorted(int(names[0]) for names in parts if names[0].isdecimal() and names[1:] == [MANIFEST])


def upload(folder: Path, home: str, number: int, show_progress: bool = False) -> None:
    """Publish a release into a home, and verify every file by its checksum in the home; once it is there, do nothing.

    Args:
        folder: a home on this machine that has the release.
        home: a folder or an ``s3://`` address.
        number: the release, claimed with :func:`winnow.lifecycle.claims.claim`.
        show_progress: show a bar.

    Raises:
        ReleaseMismatch: a file differs from the manifest, here or in the home.
        WinnowError: the home has another release of this number, or cannot be written.
    """
    release = Release.open(folder / RELEASES / str(number))
    release.verify(folder / REPOSITORIES / str(number))
    manifest = (release.folder / MANIFEST).read_bytes()
    address = files.inside(home, RELEASES, str(number), MANIFEST)
    if number in numbers(home):
        if files.read(address) != manifest:
            raise WinnowError(
                f"{home} has another release {number}: releases are never overwritten. Claim a new number for this one."
            )
        return
    _copy(str(folder), home, number, (TRAINING, *SERVED), show_progress, verified=True)
    files.write(address, manifest)


def download(
    home: str, number: int, folder: Path, show_progress: bool = False, folders: Collection[str] = SERVED
) -> Release:
    """Fetch a release from a home, verified against its manifest.

    Args:
        home: a folder or an ``s3://`` address.
        number: the release.
        folder: a home on this machine, which gets the release under the same number.
        show_progress: show a bar.
        folders: which of its folders; without that of the training state, which only an incremental build reads.

    Raises:
        ReleaseMismatch: a file is missing or differs from the manifest.
        WinnowError: the home has no such release or cannot be read, or the folder has another release of this number.
    """
    content, manifest = manifest_of(home, number)
    place = folder / RELEASES / str(number)
    here = place / MANIFEST
    if here.exists():
        if here.read_bytes() != content:
            raise WinnowError(f"{place} is another release {number} than that of {home}. Choose another folder.")
    else:
        _copy(home, str(folder), number, folders, show_progress, verified=False)
        Release(place, manifest).verify(folder / REPOSITORIES / str(number))
        files.write(str(here), content)
    return Release.open(place)


def manifest_of(home: str, number: int) -> tuple[bytes, Manifest]:
    """The manifest of a release of a home, as bytes and read.

    Raises:
        ReleaseMismatch: it is unreadable.
        WinnowError: the home has no such release or cannot be read.
    """
    address = files.inside(home, RELEASES, str(number), MANIFEST)
    try:
        content = files.read(address)
        return content, Manifest.model_validate_json(content)
    except files.FileMissing:
        there = ", ".join(map(str, numbers(home))) or "none"
        raise WinnowError(f"{home} has no release {number}; its releases: {there}") from None
    except ValidationError as error:
        raise ReleaseMismatch(f"{address} is not a release manifest: {error}") from error


def _copy(source: str, target: str, number: int, folders: Collection[str], show_progress: bool, verified: bool) -> None:
    """Copy the files of a release in these folders of a home, but its manifest."""
    paths = list(_paths(source, number, folders))

    def one(path: str) -> None:
        written = files.inside(target, path)
        _copy_file(files.inside(source, path), written)
        if verified and files.sha256(written) != files.sha256(files.inside(source, path)):
            raise ReleaseMismatch(f"{written} differs from the file that was written to it: publish the release again")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copied = pool.map(one, paths)
        for _ in tqdm(copied, f"release {number}", total=len(paths), unit="file", disable=not show_progress):
            pass


def _paths(home: str, number: int, folders: Collection[str]) -> Iterator[str]:
    for folder in folders:
        root = files.inside(home, folder, str(number))
        for address in files.walk(root):
            path = address.removeprefix(root).strip("/")
            if (folder, path) != (RELEASES, MANIFEST):
                yield files.inside(folder, str(number), path)


def _copy_file(source: str, target: str) -> None:
    if target.startswith(files.S3):
        files.upload(Path(source), target)
        return
    with files.reaching(target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        if source.startswith(files.S3):
            files.download(source, Path(target))
        else:
            shutil.copyfile(source, target)
