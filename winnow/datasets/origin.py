"""The tables that a release was built from, where they still lie on this machine."""

from pathlib import Path

import pyarrow as pa

from winnow.datasets.canonical import validation
from winnow.datasets.marketplace import MarketplaceSize, generated
from winnow.datasets.readers import tables
from winnow.home import home
from winnow.release import BuildInputs


def items_of(source: BuildInputs) -> pa.Table | None:
    """The items in canonical columns, pictures and sounds by absolute path; none where they are elsewhere.

    Atomic files have no pictures and no sounds, so they are left where they are.
    """
    if "://" in source.data:
        return None
    size = MarketplaceSize(source.items, source.users, source.events, source.seed)
    folder = Path(source.data) if source.data else generated(home() / "marketplace", size)
    return validation.items_of(tables.read_local(folder)) if tables.is_tables(folder) else None
