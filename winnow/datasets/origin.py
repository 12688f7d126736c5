"""The tables that a release was built from, if this machine has them."""

from pathlib import Path

import pyarrow as pa

from winnow.datasets.canonical import validate
from winnow.datasets.marketplace import MarketplaceSize, generated
from winnow.datasets.readers import tables
from winnow.datasets.readers.atomic import is_atomic
from winnow.home import home
from winnow.release import BuildInputs


def items_of(source: BuildInputs) -> pa.Table | None:
    """The items in canonical columns, with absolute paths of images and sounds.

    ``None`` where they are not on this machine, or where the source is atomic files, which have no images and sounds.
    """
    if "://" in source.data:
        return None
    size = MarketplaceSize(source.items, source.users, source.events, source.seed)
    folder = Path(source.data) if source.data else generated(home() / "marketplace", size)
    if is_atomic(folder) or not tables.is_tables(folder):
        return None
    return validate.items_of(tables.read_local(folder))
