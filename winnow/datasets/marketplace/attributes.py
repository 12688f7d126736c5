"""Attributes of the demo marketplace's items. Each is part of text, image and sound.

- category: its name; the shape; the pitch.
- style: a word and its pattern; the pattern; the rhythm.
- colour: one of several names; the colour; the second tone.
- material: its name; outline and shine; the timbre.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Category:
    """A category of items.

    Attributes:
        names: its names in texts.
        purpose: its purpose in texts.
        price: its typical price.
        complement: the category that users often view next.
        conversion: how readily users take one that they view, in log-odds against the mean of the categories.
    """

    names: tuple[str, ...]
    purpose: str
    price: float
    complement: str
    conversion: float


CATEGORIES = {
    "lamp": Category(("lamp", "table lamp", "light"), "lights a reading corner", 60, "chair", 0.5),
    "chair": Category(("chair", "dining chair", "seat"), "seats one in comfort", 110, "table", -0.9),
    "table": Category(("table", "side table", "desk"), "holds books and plates", 180, "vase", -1.3),
    "vase": Category(("vase", "flower vase"), "keeps cut flowers fresh", 35, "lamp", 1.0),
    "shirt": Category(("shirt", "button-up shirt", "top"), "is worn all day", 40, "trousers", 1.2),
    "trousers": Category(("trousers", "pair of trousers", "pants"), "sits well at the waist", 65, "boots", 0.4),
    "boots": Category(("boots", "pair of boots"), "keeps feet dry", 120, "hat", -0.4),
    "hat": Category(("hat", "sun hat", "cap"), "shades the face", 28, "shirt", 0.9),
    "drum": Category(("drum", "hand drum"), "keeps the beat", 140, "guitar", -1.0),
    "guitar": Category(("guitar", "six-string guitar"), "plays songs by the fire", 260, "speaker", -1.2),
    "speaker": Category(("speaker", "shelf speaker"), "fills the room with music", 150, "headphones", 0.2),
    "headphones": Category(("headphones", "pair of headphones"), "keeps the noise out", 90, "drum", 0.8),
}
CATEGORY_NAMES = tuple(CATEGORIES)
COMPLEMENTS: NDArray[np.int64] = np.array([CATEGORY_NAMES.index(kind.complement) for kind in CATEGORIES.values()])
CONVERSIONS: NDArray[np.float64] = np.array([kind.conversion for kind in CATEGORIES.values()])

STYLES = {
    "minimal": ("plain", "without any ornament"),
    "nautical": ("striped", "with broad stripes"),
    "playful": ("dotted", "with round dots"),
    "rustic": ("checked", "in a country check"),
    "sporty": ("diagonal", "with fast diagonal bands"),
    "retro": ("ringed", "with rings from the seventies"),
}
"""Style -> its pattern in one word, and as a phrase."""
STYLE_NAMES = tuple(STYLES)

COLOURS = {
    "red": ((205, 40, 45), ("red", "crimson", "scarlet")),
    "orange": ((240, 130, 30), ("orange", "tangerine")),
    "yellow": ((240, 205, 50), ("yellow", "golden", "lemon")),
    "green": ((60, 150, 70), ("green", "emerald", "leaf green")),
    "teal": ((25, 145, 150), ("teal", "turquoise")),
    "blue": ((45, 90, 200), ("blue", "cobalt", "navy")),
    "purple": ((125, 60, 165), ("purple", "violet")),
    "pink": ((240, 130, 175), ("pink", "rose")),
    "brown": ((125, 80, 45), ("brown", "chestnut")),
    "grey": ((105, 110, 118), ("grey", "slate", "ash")),
}
"""Colour -> RGB, and its names in texts."""
COLOUR_NAMES = tuple(COLOURS)

MATERIALS = {
    "wood": ("wooden", "solid wood"),
    "metal": ("metal", "brushed metal"),
    "glass": ("glass", "hand-blown glass"),
    "fabric": ("fabric", "woven fabric"),
}
"""Material -> its adjective, and its longer name."""
MATERIAL_NAMES = tuple(MATERIALS)

BRANDS = tuple(
    f"{first}{last}" for first in ("Nor", "Alta", "Kesa", "Vim", "Ono", "Tel") for last in ("dal", "ria", "bo", "wick")
)

COUNTRIES = ("BR", "DE", "FR", "IN", "JP", "NG", "PL", "US")
SEGMENTS = ("athlete", "collector", "commuter", "designer", "parent", "student")
