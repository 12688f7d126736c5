"""The demo marketplace: a generated data set with images, descriptions, sounds and a log.

The same sizes and seed give the same bytes.
"""

import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.datasets.canonical.spec import FILE, DatasetSpec, DeclaredColumns, EventType
from winnow.datasets.marketplace.attributes import BRANDS, CATEGORY_NAMES, COUNTRIES, SEGMENTS
from winnow.datasets.marketplace.behaviour import EVENTS, Log, simulate
from winnow.datasets.marketplace.catalog import Catalog, make_catalog
from winnow.datasets.marketplace.people import People, make_people
from winnow.datasets.marketplace.pictures import draw_pictures
from winnow.datasets.marketplace.sounds import record_sounds
from winnow.errors import WinnowError

_RECIPE = 2
"""Version of the generator: a folder of an older version is not reused."""


@dataclass(frozen=True)
class MarketplaceSize:
    """Size and seed of a marketplace.

    Attributes:
        items: number of items, at least 1.
        users: number of users, at least 1.
        events: number of events, at least one per user.
        seed: seed of the random generator.
    """

    items: int = 2000
    users: int = 3000
    events: int = 150_000
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse sizes below their minimum."""
        for field, least in (("items", 1), ("users", 1), ("events", self.users), ("seed", 0)):
            if getattr(self, field) < least:
                raise WinnowError(f"{field} is {getattr(self, field)} and must be at least {least}.")


DEFAULT_SIZE = MarketplaceSize()


class World(NamedTuple):
    """A marketplace in index space: row ``n`` has the id ``i`` or ``u`` and the number ``n + 1`` in five digits."""

    catalog: Catalog
    people: People
    log: Log


def simulated(size: MarketplaceSize) -> World:
    """The marketplace of that size without its files."""
    for_catalog, _, _, for_people, for_log = _streams(size)
    catalog = make_catalog(size.items, for_catalog)
    people = make_people(size.users, for_people)
    return World(catalog, people, simulate(catalog, people, size.events, for_log))


def folder_of(within: Path, size: MarketplaceSize) -> Path:
    """The folder of a marketplace of that size inside ``within``; it may be missing."""
    return within / "-".join(str(number) for number in (_RECIPE, *astuple(size)))


def generated(within: Path, size: MarketplaceSize, show_progress: bool = False) -> Path:
    """The folder of a marketplace of that size inside ``within``; generated if it is missing."""
    folder = folder_of(within, size)
    if not folder.exists():
        within.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=within, prefix=".new-") as scratch:
            generate(Path(scratch) / "new", size, show_progress)
            (Path(scratch) / "new").rename(folder)
    return folder


def generate(folder: Path, size: MarketplaceSize, show_progress: bool = False) -> None:
    """Write a marketplace into a new folder: ``dataset.yaml``, three Parquet tables, ``images/`` and ``audio/``."""
    folder.mkdir(parents=True)
    _, for_pictures, for_sounds, _, _ = _streams(size)
    catalog, people, log = simulated(size)
    images = draw_pictures(catalog, folder / "images", for_pictures, show_progress)
    sounds = record_sounds(catalog, folder / "audio", for_sounds)
    pq.write_table(_items(catalog, images, sounds), folder / "items.parquet")
    pq.write_table(_users(people), folder / "users.parquet")
    pq.write_table(_events(log, len(catalog), len(people)), folder / "events.parquet")
    DatasetSpec(
        name="marketplace",
        events={name: EventType(value=value) for name, value in EVENTS.items()},
        conversions=("purchase",),
        items=DeclaredColumns(categorical=("brand",)),
        users=DeclaredColumns(categorical=("country", "segment"), numeric=("age",)),
    ).write(folder / FILE)


def _streams(size: MarketplaceSize) -> list[np.random.Generator]:
    """A random stream for each part, so that a change in one does not change the others.

    The parts are catalog, pictures, sounds, people and log.
    """
    return np.random.default_rng(size.seed).spawn(5)


def _ids(letter: str, count: int) -> pa.Array:
    return pa.array([f"{letter}{number:05d}" for number in range(1, count + 1)])


def _items(catalog: Catalog, images: list[str], sounds: list[str | None]) -> pa.Table:
    return pa.table(
        {
            "item_id": _ids("i", len(catalog)),
            "title": catalog.title,
            "description": catalog.description,
            "category": pa.array(CATEGORY_NAMES).take(catalog.category),
            "price": catalog.price,
            "image": [f"images/{name}" for name in images],
            "audio": pa.array([name and f"audio/{name}" for name in sounds], pa.string()),
            "created_at": catalog.created_at,
            "available": catalog.available,
            "brand": pa.array(BRANDS).take(catalog.brand),
        }
    )


def _users(people: People) -> pa.Table:
    return pa.table(
        {
            "user_id": _ids("u", len(people)),
            "age": people.age,
            "country": pa.array(COUNTRIES).take(people.country),
            "segment": pa.array(SEGMENTS).take(people.segment),
        }
    )


def _events(log: Log, items: int, users: int) -> pa.Table:
    return pa.table(
        {
            "user_id": _ids("u", users).take(log.user),
            "item_id": _ids("i", items).take(log.item),
            "event": pa.array(list(EVENTS)).take(log.event),
            "timestamp": log.timestamp,
        }
    )
