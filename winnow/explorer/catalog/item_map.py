"""The map of a release's items as a picture: dots by category, in a frame that can be moved and enlarged."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.explorer.catalog.facts import Facts

SIDE = 1000
"""Width and height of the map in its own unit."""

LARGEST = 64.0
"""Largest zoom."""

COLOURS = 9
"""Categories with a colour of their own; the others share one."""

_FULL = 65_535
_EDGE = 20
"""Room beside the outermost dots."""


class Frame(NamedTuple):
    """The part of the map that is shown.

    Attributes:
        x: of its middle, 0 to :data:`SIDE`.
        y: likewise.
        zoom: 1 for all of the map.
    """

    x: float
    y: float
    zoom: float

    @classmethod
    def of(cls, x: str, y: str, zoom: str) -> "Frame":
        """Read the fields of an address; what is no number counts as the whole map."""
        values = [_number(text, default) for text, default in ((x, SIDE / 2), (y, SIDE / 2), (zoom, 1.0))]
        scale = min(max(values[2], 1.0), LARGEST)
        half = SIDE / 2 / scale
        across, down = (round(min(max(value, half), SIDE - half), 1) for value in values[:2])
        return cls(across, down, round(scale, 2))

    @property
    def box(self) -> tuple[float, float, float]:
        """Left, top, and the length of a side."""
        side = SIDE / self.zoom
        return round(self.x - side / 2, 2), round(self.y - side / 2, 2), round(side, 2)

    def moved(self, right: float, down: float, nearer: float = 1.0) -> dict[str, str]:
        """The fields of another frame: moved by parts of its side, enlarged by a factor."""
        side = SIDE / self.zoom
        frame = Frame.of(str(self.x + right * side), str(self.y + down * side), str(self.zoom * nearer))
        return frame.fields

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the frame's address; none for the whole map."""
        return {} if self.zoom <= 1 else {name: f"{value:g}" for name, value in self._asdict().items()}


@dataclass(frozen=True)
class Group:
    """The dots of a category.

    Attributes:
        name: of the category.
        kind: class of the colour.
        label: for the legend.
        dots: path of the items with events, as SVG.
        cold: path of the cold items.
        count: items of the sample.
        linked: whether it is one category, which can be emphasised.
    """

    name: str
    kind: str
    label: str
    dots: str
    cold: str
    count: int
    linked: bool


class ItemMap:
    """The dots.

    Args:
        facts: of a release with a map.

    Attributes:
        items: int32 [m], the items of the map.
        x: float64 [m], 0 to :data:`SIDE`.
        y: likewise.
        categories: the first category of each; empty for none.
        cold: bool [m].
    """

    def __init__(self, facts: Facts) -> None:
        assert facts.places is not None
        self.items, points = facts.places
        self.x, self.y = (np.round(_EDGE + points[:, axis] / _FULL * (SIDE - 2 * _EDGE), 1) for axis in (0, 1))
        self.categories = [facts.category_of(index) for index in self.items.tolist()]
        self.cold = np.array([bool(facts.is_cold(index)) for index in self.items.tolist()], np.bool_)
        self._facts = facts

    def groups(self, emphasised: str) -> list[Group]:
        """The categories, the largest first; one that is emphasised has a colour of its own in any case."""
        counts = Counter(self.categories)
        named = [name for name, _ in counts.most_common() if name]
        own = named[:COLOURS]
        if emphasised in counts and emphasised not in own and emphasised:
            own = [*own[: COLOURS - 1], emphasised]
        place = {name: number for number, name in enumerate(own)}
        of = np.array([place.get(name, -1 if name else -2) for name in self.categories], np.int64)
        groups = [self._group(of == number, name, f"k{number}", name, linked=True) for number, name in enumerate(own)]
        others = self._group(of == -1, "", "other", f"{len(named) - len(own)} further categories", linked=False)
        none = self._group(of == -2, "", "none", "no category" if named else "items", linked=False)
        return [group for group in (*groups, others, none) if group.count]

    def within(self, frame: Frame, category: str) -> NDArray[np.int32]:
        """The items in a frame, those with most events first; of one category, where it is given."""
        left, top, side = frame.box
        inside = (self.x >= left) & (self.x <= left + side) & (self.y >= top) & (self.y <= top + side)
        if category:
            inside &= np.array([name == category for name in self.categories], np.bool_)
        found = self.items[inside]
        if self._facts.events is None:
            return found
        ordered: NDArray[np.int32] = found[np.argsort(-self._facts.events[found], kind="stable")]
        return ordered

    def nearest_to(self, index: int) -> int:
        """The place on the map of an item of the release, or of the item of the map with the most similar vector."""
        place = int(np.searchsorted(self.items, index))
        if place < len(self.items) and self.items[place] == index:
            return place
        vectors = self._facts.opened.release.array("item_vectors")
        return int(np.argmax(np.asarray(vectors)[self.items] @ np.asarray(vectors[index])))

    def _group(self, members: NDArray[np.bool_], name: str, kind: str, label: str, *, linked: bool) -> Group:
        warm, cold = members & ~self.cold, members & self.cold
        return Group(name, kind, label, self._path(warm), self._path(cold), int(members.sum()), linked)

    def _path(self, members: NDArray[np.bool_]) -> str:
        """Lines of no length, which are drawn as dots of a size that does not change with the zoom."""
        pairs = zip(self.x[members].tolist(), self.y[members].tolist(), strict=True)
        return "".join(f"M{x:g} {y:g}h0" for x, y in pairs)


def _number(text: str, default: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return default
    return value if abs(value) < 1e6 else default
