"""Compares served feature rows with recomputed ones, feature by feature."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from winnow.schema import Feature

TOLERANCE = 1e-5
"""Tolerance of numeric features, relative above 1: summation order alone may change a float32 (1e-7) that much."""

EXAMPLES = 3
"""Maximum number of example differences per feature."""


class Example(TypedDict):
    """A difference: request, item and both values."""

    request_id: str
    item_id: str | None
    served: Any
    recomputed: Any


class FeatureSkew(TypedDict):
    """The comparison of one feature: number of comparisons, number and size of the differences, and examples.

    ``largest`` is the largest difference of a number, or for histories the number of events that only one side has. It
    is ``None`` for categorical features and for features without differences.
    """

    feature: str
    compared: int
    differing: int
    largest: float | None
    examples: list[Example]


@dataclass
class Comparison:
    """Accumulates comparisons.

    Attributes:
        features: result per feature, by name.
        not_checked: reason -> number of values that could not be compared.
    """

    features: dict[str, FeatureSkew] = field(default_factory=dict)
    not_checked: Counter[str] = field(default_factory=Counter)

    def note(self, feature: str, compared: int, differences: Sequence[tuple[float | None, Example]]) -> None:
        """Add comparisons of a feature, with size (or ``None``) and example of each difference found."""
        result = self.features.setdefault(
            feature, FeatureSkew(feature=feature, compared=0, differing=0, largest=None, examples=[])
        )
        result["compared"] += compared
        result["differing"] += len(differences)
        sizes = [size for size, _ in differences if size is not None]
        if sizes:
            result["largest"] = max(*sizes, result["largest"] or 0.0)
        result["examples"] += [example for _, example in differences[: EXAMPLES - len(result["examples"])]]

    def rows(
        self,
        prefix: str,
        features: Sequence[Feature],
        vocabularies: Mapping[str, Sequence[str]],
        origins: Sequence[tuple[str, str | None]],
        served: NDArray[np.void],
        recomputed: NDArray[np.void],
    ) -> None:
        """Compare packed rows, column by column.

        Args:
            prefix: prefix of the feature names in the result.
            features: features of the schema, in column order.
            vocabularies: vocabulary of each categorical feature.
            origins: request id and item id of each row.
            served: structured [n], the served rows.
            recomputed: structured [n], the recomputed rows.
        """

        def note(name: str, ours: NDArray[Any], theirs: NDArray[Any], sizes: NDArray[Any] | None, show: Any) -> None:
            differ = (ours != theirs).any(axis=1) if sizes is None else sizes > 0
            differences = [
                (
                    None if sizes is None else float(sizes[row]),
                    Example(
                        request_id=origins[row][0],
                        item_id=origins[row][1],
                        served=show(ours[row]),
                        recomputed=show(theirs[row]),
                    ),
                )
                for row in np.flatnonzero(differ).tolist()
            ]
            self.note(f"{prefix}.{name}", len(ours), differences)

        for name in ("index", "available"):
            note(name, served[name][:, None], recomputed[name][:, None], None, lambda cell: int(cell[0]))
        codes = numbers = 0
        for feature in features:
            if feature.kind == "categorical":
                columns = slice(codes, codes + feature.width)
                ours, theirs = served["categorical"][:, columns], recomputed["categorical"][:, columns]
                vocabulary = vocabularies[feature.name]
                note(feature.name, ours, theirs, None, lambda cell, vocabulary=vocabulary: _words(cell, vocabulary))
                codes += feature.width
            else:
                ours, theirs = served["numeric"][:, numbers], recomputed["numeric"][:, numbers]
                note(feature.name, ours, theirs, _differences(ours, theirs), _number)
                numbers += 1


def _differences(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Absolute differences, 0 within the tolerance: float64 [n]."""
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    # NaN and infinity differ from every number by the largest float32.
    difference[~np.isfinite(difference)] = np.finfo(np.float32).max
    scale = np.maximum(1.0, np.abs(theirs.astype(np.float64)))
    return np.where(difference > TOLERANCE * scale, difference, 0.0)


def _number(value: np.float32) -> float | str:
    """A number that JSON can represent; NaN and infinity become text."""
    return float(value) if math.isfinite(value) else str(value)


def _words(codes: NDArray[np.int32], vocabulary: Sequence[str]) -> list[str]:
    return [vocabulary[code] if 0 < code < len(vocabulary) else f"code {code}" for code in codes.tolist() if code]
