"""The live release, as far as the trigger reads it: of a home on S3 only the files that it needs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from winnow import files
from winnow.arrays.strings import OFFSETS
from winnow.datasets import profile
from winnow.datasets.profile import DataProfile
from winnow.errors import WinnowError
from winnow.items.index import ItemIndex
from winnow.lifecycle.live import live
from winnow.lifecycle.transfer import manifest_of
from winnow.release import MANIFEST, BuildInputs, Manifest, Release

_CATALOG = (
    *(MANIFEST, "schema.json", "vocabularies.json"),
    *("item_ids.npy", f"item_ids{OFFSETS}.npy", "sorted_hashes.npy", "sorted_items.npy", "item_rows.npy"),
)


class Categories(NamedTuple):
    """The categories of events.

    Attributes:
        unknown: number of events whose item the release was not built with.
        shares: category -> share of the other events that have it.
    """

    unknown: int
    shares: dict[str, float]


class Baseline(NamedTuple):
    """The live release.

    Attributes:
        folder: its address, a folder or ``s3://``.
        manifest: its manifest.
        profile: the profile of its data; ``None`` for a release that was built before profiles were kept.
    """

    folder: str
    manifest: Manifest
    profile: DataProfile | None

    @classmethod
    def of(cls, home: str) -> "Baseline":
        """The live release of a home.

        Raises:
            WinnowError: no release is live, or it cannot be read.
        """
        pin = live(home)
        if pin is None:
            raise WinnowError(
                f"no release of {home} is live, so there is nothing that could be out of date: build one, and make it "
                "live with `winnow promote N`"
            )
        folder = files.inside(home, "releases", str(pin.release))
        manifest = manifest_of(home, pin.release)[1]
        known = profile.FILE in manifest.files
        kept = DataProfile.model_validate_json(files.read(files.inside(folder, profile.FILE))) if known else None
        return cls(folder, manifest, kept)

    @property
    def ended(self) -> int:
        """When its data ended, milliseconds since the epoch: no later than the build, which read no event after it."""
        return min(self.manifest.as_of, int(self.manifest.created_at.timestamp() * 1000))

    def inputs(self, incremental: bool) -> BuildInputs:
        """The inputs of a build that repeats that of the release with newer data.

        Args:
            incremental: whether it goes on from the release; otherwise it is a full build, also of an incremental one.
        """
        source = self.manifest.source
        return source.model_copy(update={"from_release": self.manifest.number if incremental else 0})

    def categories(self, item_ids: Sequence[bytes], scratch: Path) -> Categories:
        """Look up the categories of events.

        Args:
            item_ids: the item of each event, in UTF-8.
            scratch: an empty folder, for the files of a release on S3.
        """
        release = self._opened(scratch)
        index = ItemIndex.of(release).find(item_ids)
        known = index[index > 0]
        feature = release.schema.item[0]
        codes = np.asarray(release.array("item_rows")["categorical"][known, : feature.width])
        words = release.vocabularies[feature.name]
        # An item that has a category twice counts once, as in the profile.
        counts = Counter(code for row in codes.tolist() for code in set(row) if code)
        shares = {words[code]: count / len(known) for code, count in counts.items()}
        return Categories(len(index) - len(known), shares)

    def _opened(self, scratch: Path) -> Release:
        if not self.folder.startswith(files.S3):
            return Release.open(Path(self.folder))
        for name in _CATALOG:
            files.download(files.inside(self.folder, name), scratch / name)
        return Release.open(scratch)
