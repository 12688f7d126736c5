"""Feature sets for the benchmarks: of real data, and synthetic ones that are made in memory."""

from pathlib import Path

import numpy as np

from benchmarks.common.data_sets import files
from winnow.arrays.strings import Strings
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.features.extract import extract_folder
from winnow.features.table import FeatureSet, Interactions
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema


def data_set(name: str) -> Path:
    """The folder of a real data set in RecBole's form.

    Raises:
        WinnowError: the data set is missing.
    """
    return files(name, "*.inter")[0].parent


def extracted(name: str, folder: Path) -> Path:
    """The feature set of a real data set without each user's last event.

    Args:
        name: of the data set.
        folder: to write to.

    Returns:
        The feature set's folder.
    """
    ingest(str(data_set(name)), folder / "dataset", "last", MarketplaceSize(), show_progress=False)
    extract_folder(folder / "dataset", folder / "encoders", folder / "features")
    return folder / "features"


def synthetic(items: int, users: int, events_per_user: int, seed: int = 0) -> FeatureSet:
    """A feature set of ids alone, without structure: for the time of a step.

    Args:
        items: size of the catalog.
        users: number of users.
        events_per_user: the same for all.
        seed: of the items.
    """
    rng = np.random.default_rng(seed)
    events = users * events_per_user
    log = Interactions(
        offsets=np.arange(users + 1, dtype=np.int64) * events_per_user,
        item=rng.integers(1, items + 1, events).astype(np.int32),
        event=np.ones(events, np.int32),
        timestamp=np.tile(np.arange(events_per_user, dtype=np.int64) * 60_000, users),
        grade=np.ones(events, np.float32),
    )
    schema = FeatureSchema(
        item=tuple(Feature(name=name, kind="numeric") for name in (*NUMERIC_FEATURES, "price")),
        user=(),
        events=("view",),
        event_values=(1.0,),
        event_windows_ms=(86_400_000,),
        conversions=(),
    )
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *map(str, range(items))]),
        user_ids=np.array([*map(str, range(users))]),
        item_rows=np.zeros(items + 1, schema.item_dtype),
        user_rows=np.zeros(users, schema.user_dtype),
        embeddings={},
        interactions=log,
        as_of=events_per_user * 60_000,
    )
