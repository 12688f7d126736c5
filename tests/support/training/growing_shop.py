"""A small shop whose log grows: its feature sets, and a release of it as far as training goes on from it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.training.kept import kept_release
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.features.extract import extract_folder
from winnow.release import Release
from winnow.settings.training import CandidateCounts, RankerSettings, RetrieverSettings, TrainingSettings
from winnow.training.train import train_models

START, MINUTE = 1_700_000_000_000, 60_000
SETTINGS = TrainingSettings(
    retriever=RetrieverSettings(dimension=16, layers=1, history_length=10, batch=16, max_epochs=12, dropout=0.2),
    candidates=CandidateCounts(retriever=15, covisitation=10, trending=5),
    ranker=RankerSettings(width=8, epochs=2, best=10, others=5, fewest=10),
)
Event = tuple[str, str, int]
"""User, item, and minutes since the start."""


def walk(user: str, items: Sequence[str], first: int, count: int, minute: int) -> list[Event]:
    """A user who takes one item after another, in their order."""
    return [(user, items[(first + step) % len(items)], minute + step) for step in range(count)]


def features_of(
    folder: Path, items: Sequence[str], events: Iterable[Event], spec: str = "events: {view: 1}", columns: str = ""
) -> Path:
    """Ingest a shop and extract its features.

    Items are named ``CATEGORY-NUMBER``.

    Args:
        folder: to create.
        items: ids, in the catalog's order.
        events: the log.
        spec: of the data set, but for its name.
        columns: further columns of an item, each ``,name``; their values are 1.

    Returns:
        The feature set's folder.
    """
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "dataset.yaml").write_text(f"name: shop\n{spec}\n")
    ones = ",1" * columns.count(",")
    rows = [f"{item},{item.partition('-')[0]}{ones}" for item in items]
    (data / "items.csv").write_text("\n".join([f"item_id,category{columns}", *rows]))
    log = [f"{user},{item},view,{START + minute * MINUTE}" for user, item, minute in events]
    (data / "events.csv").write_text("\n".join(["user_id,item_id,event,timestamp", *log]))
    ingest(str(data), folder / "dataset", "none", MarketplaceSize(), show_progress=False)
    extract_folder(folder / "dataset", folder / "encoders", folder / "features")
    return folder / "features"


def trained_release(folder: Path, features: Path, settings: TrainingSettings = SETTINGS) -> tuple[Release, Path]:
    """Train in full, and write the parts of a release that training goes on from.

    Args:
        folder: to write ``1`` and ``training/1`` into.
        features: folder of the feature set.
        settings: of the training.

    Returns:
        The release, and ``training/1``.
    """
    train_models(features, folder / "retriever", folder / "ranker", settings)
    return kept_release(folder, features)
