"""The catalog of the demo marketplace: attributes, prices and texts of its items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import (
    BRANDS,
    CATEGORIES,
    CATEGORY_NAMES,
    COLOUR_NAMES,
    COLOURS,
    MATERIAL_NAMES,
    MATERIALS,
    STYLE_NAMES,
    STYLES,
)

DAY = 86_400_000
END = 1_782_777_600_000
"""2026-06-30 00:00 UTC in milliseconds: fixed, so that a seed gives the same log on any day."""
DAYS = 90
START = END - DAYS * DAY

WITHDRAWN = END - 21 * DAY
"""When the unavailable items left the shop: users see none of them afterwards."""

_UNAVAILABLE = 0.03
_WITH_SOUND = 1 / 3
_NEW = 0.25
"""Share of the items that are created within the time of the log."""

_OPENINGS = ("A", "This is a", "Meet a", "For your home and your days: a", "New in: a", "Simply a")
_CLOSINGS = ("Made to last.", "A gift that pleases.", "Ships within two days.", "Designed in small series.", "")


@dataclass(frozen=True)
class Catalog:
    """Items in index space; every array is [items].

    Attributes:
        category: index into ``CATEGORY_NAMES``; likewise ``style``, ``colour``, ``material`` and ``brand``.
        appeal: popularity independent of taste, long-tailed.
        typical: typical price of the category.
        price: price of the item.
        created_at: int64 ms.
        available: bool.
        with_sound: bool, whether the item has a sound.
        title: str.
        description: str.
    """

    category: NDArray[np.int64]
    style: NDArray[np.int64]
    colour: NDArray[np.int64]
    material: NDArray[np.int64]
    brand: NDArray[np.int64]
    appeal: NDArray[np.float64]
    typical: NDArray[np.float64]
    price: NDArray[np.float64]
    created_at: NDArray[np.int64]
    available: NDArray[np.bool_]
    with_sound: NDArray[np.bool_]
    title: list[str]
    description: list[str]

    def __len__(self) -> int:
        """Number of items."""
        return len(self.category)


def make_catalog(items: int, rng: np.random.Generator) -> Catalog:
    """Generate a catalog."""
    category = rng.integers(len(CATEGORY_NAMES), size=items)
    style = rng.integers(len(STYLE_NAMES), size=items)
    colour = rng.integers(len(COLOUR_NAMES), size=items)
    material = rng.integers(len(MATERIAL_NAMES), size=items)
    # Brand correlates with style.
    leaning = style * 4 + rng.integers(4, size=items)
    brand = np.where(rng.random(items) < 0.5, leaning, rng.integers(len(BRANDS), size=items))
    appeal = 1.0 / (1 + rng.permutation(items)) ** 0.9
    typical = np.array([kind.price for kind in CATEGORIES.values()])[category]
    price = np.round(typical * np.exp(rng.normal(0.0, 0.35, items)), 2)
    arrived = np.where(
        rng.random(items) < _NEW, rng.uniform(START, END - DAY, items), rng.uniform(START - 730 * DAY, START, items)
    )
    # The first day of the log needs an item.
    arrived[0] = START - DAY
    available = rng.random(items) >= _UNAVAILABLE
    with_sound = rng.random(items) < _WITH_SOUND
    words = [_words(*kind, rng) for kind in zip(category, style, colour, material, brand, strict=True)]
    return Catalog(
        category=category,
        style=style,
        colour=colour,
        material=material,
        brand=brand,
        appeal=np.asarray(appeal, dtype=np.float64),
        typical=typical,
        price=price,
        created_at=arrived.astype(np.int64),
        available=available,
        with_sound=with_sound,
        title=[title for title, _ in words],
        description=[description for _, description in words],
    )


def _words(
    category: int, style: int, colour: int, material: int, brand: int, rng: np.random.Generator
) -> tuple[str, str]:
    kind = CATEGORIES[CATEGORY_NAMES[category]]
    mood = STYLE_NAMES[style]
    pattern, pattern_in_full = STYLES[mood]
    tones = COLOURS[COLOUR_NAMES[colour]][1]
    adjective, stuff = MATERIALS[MATERIAL_NAMES[material]]
    choice = rng.integers(1 << 16, size=7)

    def one(options: tuple[str, ...], position: int) -> str:
        return options[int(choice[position]) % len(options)]

    name, tone = one(kind.names, 0), one(tones, 1)
    title = f"{BRANDS[brand]} {one((mood, pattern, adjective), 2)} {tone} {name}".capitalize()
    first = one(
        (
            f"{mood} {name} in {tone}, {pattern_in_full}",
            f"{pattern} {tone} {name} of {stuff}",
            f"{tone} {adjective} {name} in a {mood} style",
            f"{name} {pattern_in_full}, {mood} and {tone}",
        ),
        3,
    )
    second = one(
        (
            f"The {adjective} body {kind.purpose}.",
            f"Made of {stuff}, it {kind.purpose}.",
            f"It {kind.purpose}; the {pattern} {tone} finish is all its own.",
        ),
        4,
    )
    return title, f"{one(_OPENINGS, 5)} {first}. {second} {one(_CLOSINGS, 6)}".strip()
