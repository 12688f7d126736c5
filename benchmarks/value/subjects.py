"""The releases that the measures serve, built in a temporary home, and the marketplace that the first three share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import home
from winnow.cli.build import run_build
from winnow.datasets.marketplace import DEFAULT_SIZE, MarketplaceSize, World, generated, simulated
from winnow.datasets.marketplace.catalog import DAY, END
from winnow.datasets.marketplace.judge import Judge
from winnow.release import BuildInputs, Release

WITHHELD_DAYS = 10
"""The last days of the marketplace's log, which its release does not know."""


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home of its own for the builds inside the block; it is removed afterwards."""
    before = os.environ.get("WINNOW_HOME")
    with tempfile.TemporaryDirectory(prefix="winnow-objectives-") as folder:
        os.environ["WINNOW_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("WINNOW_HOME")
            if before is not None:
                os.environ["WINNOW_HOME"] = before


class Subjects:
    """Releases, each built once.

    Args:
        size: size of the marketplace.
    """

    def __init__(self, size: MarketplaceSize = DEFAULT_SIZE) -> None:
        self.size = size

    @cached_property
    def marketplace(self) -> "Marketplace":
        """The marketplace without its last days."""
        return Marketplace(self.size)

    @cached_property
    def demo(self) -> Release:
        """The demo's release with the end of each user's log held out."""
        size = self.size
        inputs = BuildInputs(items=size.items, users=size.users, events=size.events, seed=size.seed)
        return run_build(inputs, "last")


def build(data: Path, holdout: str = "none") -> Release:
    """Build a release of a folder."""
    return run_build(BuildInputs(data=str(data)), holdout)


class Marketplace:
    """A release of the marketplace's log before ``until``, and the marketplace's users at that moment.

    Attributes:
        until: end of the release's log, ms.
        world: the marketplace with its whole log.
        judge: its users as they are at ``until``.
        release: built from what existed before ``until``.
    """

    def __init__(self, size: MarketplaceSize) -> None:
        self.until = END - WITHHELD_DAYS * DAY
        self.world: World = simulated(size)
        self.judge = Judge(self.world, self.until)
        self.release = build(before(generated(home.home() / "marketplace", size), self.until))

    def rows(self, ids: list[str]) -> NDArray[np.int64]:
        """The rows of users or of items in the marketplace."""
        return np.array([int(each[1:]) - 1 for each in ids], np.int64)


def before(folder: Path, until: int) -> Path:
    """A copy of a marketplace as it was at a moment: without later items and events."""
    copy = folder.parent / f"{folder.name}-before"
    shutil.copytree(folder, copy, copy_function=os.link)
    for table, column in (("items", "created_at"), ("events", "timestamp")):
        path = copy / f"{table}.parquet"
        rows = pq.read_table(path)
        path.unlink()
        pq.write_table(rows.filter(pc.less(rows[column], until)), path)
    return copy
