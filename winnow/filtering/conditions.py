"""What a filter says, as a tree: comparisons of one column each, joined by ``and`` and ``or``.

``not`` is moved to the comparisons while the tree is built, by De Morgan's laws, which hold in SQL's logic of three
values as well. So a test needs to know only where it is true: where it is false or NULL, the item does not match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Value = float | str | bool | None
"""A value in a filter; ``None`` is ``null``."""

Operator = Literal["=", "<", "<=", ">", ">=", "null", "like", "contains", "flag"]

_OPPOSITE: dict[Operator, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True)
class Written:
    """A value and the character at which it stands, from 1."""

    value: Value
    position: int


@dataclass(frozen=True)
class Comparison:
    """One test of one column.

    Attributes:
        column: name of the column.
        position: the character at which it stands, from 1.
        operator: ``=`` stands for ``in`` as well.
        values: what the column is compared with; none for ``null`` and ``flag``.
        negated: whether the test must not hold; NULL fulfils neither.
    """

    column: str
    position: int
    operator: Operator
    values: tuple[Written, ...] = ()
    negated: bool = False

    @property
    def depth(self) -> int:
        """Nothing is joined below it."""
        return 0

    def opposite(self) -> Comparison:
        """True where this one is false."""
        if self.operator in _OPPOSITE:
            return replace(self, operator=_OPPOSITE[self.operator])
        return replace(self, negated=not self.negated)

    def leaves(self) -> Iterator[Comparison]:
        """Itself."""
        yield self


@dataclass(frozen=True)
class Joined:
    """Conditions of which all, or any, must hold.

    Attributes:
        every: whether all must.
        parts: the conditions.
        depth: how deep conditions of the other sort are nested in it.
    """

    every: bool
    parts: tuple[Condition, ...]
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max(part.depth for part in self.parts))

    @classmethod
    def of(cls, every: bool, parts: Sequence[Condition]) -> Joined:
        """Join conditions; the parts of a part of the same sort become parts of the whole."""
        flat: list[Condition] = []
        for part in parts:
            flat += part.parts if isinstance(part, Joined) and part.every == every else (part,)
        return cls(every, tuple(flat))

    def opposite(self) -> Joined:
        """True where this one is false."""
        return Joined(not self.every, tuple(part.opposite() for part in self.parts))

    def leaves(self) -> Iterator[Comparison]:
        """The comparisons in it, from left to right."""
        for part in self.parts:
            yield from part.leaves()


Condition = Comparison | Joined
