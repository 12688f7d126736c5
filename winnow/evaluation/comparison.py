"""Packed rows beside the same rows computed again: what differs, feature by feature."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from winnow.schema import Feature

TOLERANCE = 1e-5
"""Of a number, relative where it is above 1: what two orders of summation may differ by. A float32 holds 1e-7."""

EXAMPLES = 3
"""Differences of a feature that are shown."""


class Example(TypedDict):
    """One difference: where it was served, and both values."""

    request_id: str
    item_id: str | None
    served: Any
    recomputed: Any


class FeatureSkew(TypedDict):
    """One feature: how often it was compared and differed, by how much at most, and a few differences.

    ``largest`` is a difference of numbers; of a history the number of events that only one side has. Codes have none.
    """

    feature: str
    compared: int
    differing: int
    largest: float | None
    examples: list[Example]


@dataclass
class Comparison:
    """What was compared so far.

    Attributes:
        features: what was found of each feature, by name.
        not_checked: reason -> how often something could not be compared.
    """

    features: dict[str, FeatureSkew] = field(default_factory=dict)
    not_checked: Counter[str] = field(default_factory=Counter)

    def note(self, feature: str, compared: int, differences: Sequence[tuple[float | None, Example]]) -> None:
        """Add comparisons of a feature, and the differences among them."""
        told = self.features.setdefault(
            feature, FeatureSkew(feature=feature, compared=0, differing=0, largest=None, examples=[])
        )
        told["compared"] += compared
        told["differing"] += len(differences)
        sizes = [size for size, _ in differences if size is not None]
        if sizes:
            told["largest"] = max(*sizes, told["largest"] or 0.0)
        told["examples"] += [example for _, example in differences[: EXAMPLES - len(told["examples"])]]

    def rows(
        self,
        prefix: str,
        features: Sequence[Feature],
        words: Mapping[str, Sequence[str]],
        places: Sequence[tuple[str, str | None]],
        served: NDArray[np.void],
        computed: NDArray[np.void],
    ) -> None:
        """Compare packed rows, column by column.

        Args:
            prefix: put before every feature's name.
            features: of the schema, in the order of the columns.
            words: vocabulary of each categorical feature.
            places: request and item of each row.
            served: structured [n], the rows that were served.
            computed: structured [n], the same rows computed again.
        """

        def note(name: str, ours: NDArray[Any], theirs: NDArray[Any], by: NDArray[Any] | None, tell: Any) -> None:
            differ = (ours != theirs).any(axis=1) if by is None else by > 0
            differences = [
                (
                    None if by is None else float(by[row]),
                    Example(
                        request_id=places[row][0],
                        item_id=places[row][1],
                        served=tell(ours[row]),
                        recomputed=tell(theirs[row]),
                    ),
                )
                for row in np.flatnonzero(differ).tolist()
            ]
            self.note(f"{prefix}.{name}", len(ours), differences)

        for name in ("index", "available"):
            note(name, served[name][:, None], computed[name][:, None], None, lambda cell: int(cell[0]))
        codes = numbers = 0
        for feature in features:
            if feature.kind == "categorical":
                columns = slice(codes, codes + feature.width)
                ours, theirs = served["categorical"][:, columns], computed["categorical"][:, columns]
                vocabulary = words[feature.name]
                note(feature.name, ours, theirs, None, lambda cell, known=vocabulary: _words(cell, known))
                codes += feature.width
            else:
                ours, theirs = served["numeric"][:, numbers], computed["numeric"][:, numbers]
                note(feature.name, ours, theirs, _apart(ours, theirs), _number)
                numbers += 1


def _apart(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far apart numbers are; 0 within the tolerance."""
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    # What is no number differs from everything, by more than any number.
    difference[~np.isfinite(difference)] = np.finfo(np.float32).max
    scale = np.maximum(1.0, np.abs(theirs.astype(np.float64)))
    return np.where(difference > TOLERANCE * scale, difference, 0.0)


def _number(value: np.float32) -> float | str:
    """A number as JSON can say it."""
    return float(value) if math.isfinite(value) else str(value)


def _words(codes: NDArray[np.int32], vocabulary: Sequence[str]) -> list[str]:
    return [vocabulary[code] if 0 < code < len(vocabulary) else f"code {code}" for code in codes.tolist() if code]
