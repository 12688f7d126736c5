"""Old releases and their space: which ones may be removed, and their removal.

A release is never removed while it is live, the one that a rollback leads to, or served; nor is the newest of those
that were built for serving or for evaluation. A build in progress has no manifest yet, so it is no release here.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from winnow import files
from winnow.files import inside
from winnow.lifecycle.claims import EVALUATIONS, RELEASES, REPOSITORIES, TRAINING
from winnow.lifecycle.live import Live
from winnow.lifecycle.transfer import manifest_of, numbers
from winnow.release import MANIFEST, Holdout, Manifest

KEEP = 3
"""Releases of each kind, for serving and for evaluation, that are kept whatever else holds."""

_FOLDERS = (TRAINING, REPOSITORIES, EVALUATIONS, RELEASES)
"""The folders of a home that a release has one in, in the order in which they are removed."""


@dataclass(frozen=True)
class Stored:
    """A release of a home.

    Attributes:
        manifest: its manifest.
        size: bytes that its removal frees: files that it shares with others do not count.
    """

    manifest: Manifest
    size: int

    @property
    def number(self) -> int:
        """Its number."""
        return self.manifest.number


def stored(home: str) -> list[Stored]:
    """The releases of a home, a folder or an ``s3://`` address, ascending.

    Raises:
        WinnowError: the home cannot be read.
    """
    manifests = [manifest_of(home, number)[1] for number in numbers(home)]
    return [Stored(manifest, _size(home, manifest.number)) for manifest in manifests]


def collectable(
    releases: Iterable[Stored], pin: Live | None, served: Collection[int], keep: int = KEEP
) -> list[Stored]:
    """The releases that may be removed.

    Args:
        releases: those of the home.
        pin: its pin.
        served: releases that a stack serves or keeps warm.
        keep: how many to keep, the newest, of each kind; at least 1.
    """
    held = {*served, *(() if pin is None else (pin.release, pin.previous))}
    kinds: dict[Holdout, list[Stored]] = {"none": [], "last": []}
    for release in releases:
        kinds[release.manifest.holdout].append(release)
    old = [release for kind in kinds.values() for release in kind[: -max(1, keep)]]
    return sorted((release for release in old if release.number not in held), key=lambda release: release.number)


def remove(home: str, number: int) -> None:
    """Remove a release's models, evaluation and folder.

    The manifest goes last: a removal that was interrupted leaves a release that cannot be promoted, because it is not
    whole, and that can be removed again.

    Raises:
        WinnowError: a file cannot be removed.
    """
    for name in _FOLDERS[:-1]:
        files.delete_folder(inside(home, name, str(number)))
    folder = inside(home, _FOLDERS[-1], str(number))
    manifest = inside(folder, MANIFEST)
    for address in files.walk(folder):
        if address != manifest:
            files.delete(address)
    files.delete(manifest)
    files.delete_folder(folder)


def _size(home: str, number: int) -> int:
    addresses = [address for name in _FOLDERS for address in files.walk(inside(home, name, str(number)))]
    if home.startswith(files.S3):
        return sum(files.size(address) for address in addresses)
    stats = [Path(address).stat() for address in addresses]
    # Models and folder are links to the same arrays; the disk has an array once, until its last link is removed.
    links = Counter((stat.st_dev, stat.st_ino) for stat in stats)
    freed = {(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}
    whole = {(stat.st_dev, stat.st_ino) for stat in stats if links[stat.st_dev, stat.st_ino] == stat.st_nlink}
    return sum(freed[file] for file in whole)
