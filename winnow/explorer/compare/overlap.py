"""How much two ranked lists share, and where the items of one are in the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PERSISTENCE = 0.9
"""Of :func:`rank_biased_overlap`: the first ten places have 86 % of the weight."""


@dataclass(frozen=True)
class Move:
    """Where an item of a list is in the list before.

    Attributes:
        kind: ``new`` for an item that the list before lacks.
        places: by how many it moved; 0 for ``same`` and ``new``.
    """

    kind: Literal["same", "up", "down", "new"]
    places: int = 0

    @property
    def words(self) -> str:
        """The move, for those who do not see its mark."""
        if self.kind == "same":
            return "the same place"
        if self.kind == "new":
            return "not in the other list"
        return f"{self.kind} {self.places} place{'' if self.places == 1 else 's'}"

    @property
    def mark(self) -> str:
        """The move as a short mark."""
        return {"same": "=", "new": "new", "up": f"▲{self.places}", "down": f"▼{self.places}"}[self.kind]


def moves(before: Sequence[str], after: Sequence[str]) -> list[Move]:
    """The move of every item of ``after``. Both lists have each item once."""
    places = {item: place for place, item in enumerate(before)}
    found = []
    for place, item in enumerate(after):
        up = None if item not in places else places[item] - place
        if up is None:
            found.append(Move("new"))
        elif up == 0:
            found.append(Move("same"))
        else:
            found.append(Move("up", up) if up > 0 else Move("down", -up))
    return found


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], persistence: float = PERSISTENCE) -> float:
    """Rank-biased overlap, extrapolated from the lists' ends: 1 for equal lists, 0 for lists without a common item.

    The share of common items among the first d, averaged over all depths d with geometric weights, so that the first
    places count most (Webber, Moffat and Zobel, A Similarity Measure for Indefinite Rankings, equation 32). Two empty
    lists are equal.

    Args:
        first: items, each once.
        second: items, each once; the lengths may differ.
        persistence: between 0 and 1; a larger one gives later places more weight.
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return 0.0 if long else 1.0
    s, n = len(short), len(long)
    common = 0
    shorter: set[str] = set()
    longer: set[str] = set()
    at_short, total = 0, 0.0
    for depth in range(1, n + 1):
        new = long[depth - 1]
        longer.add(new)
        common += new in shorter
        if depth <= s:
            shorter.add(short[depth - 1])
            common += short[depth - 1] in longer
        if depth == s:
            at_short = common
        total += common / depth * persistence**depth
        if depth > s:
            total += at_short * (depth - s) / (s * depth) * persistence**depth
    rest = ((common - at_short) / n + at_short / s) * persistence**n
    return (1 - persistence) / persistence * total + rest
