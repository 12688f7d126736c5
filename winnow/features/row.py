"""The row of a new item or of a changed user, as feature extraction would write it. NumPy only: serving runs it.

:mod:`winnow.features.columns` and :mod:`winnow.features.numerics` use the same functions for whole columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.release import Release
from winnow.schema import DAY_MS, HALF_LIVES, NUMERIC_FEATURES, POPULARITY_FEATURES, Feature, FeatureSchema


def known_codes(values: Sequence[str], code: Mapping[str, int], width: int) -> list[int]:
    """Codes of the values that have one, at most ``width`` of them."""
    return [code[value] for value in values if value in code][:width]


def standard_scores(numbers: NDArray[np.float64], feature: Feature) -> NDArray[np.float32]:
    """``(number - mean) / scale``, float32; numbers that are not finite become 0, the mean."""
    scores = np.where(np.isfinite(numbers), (numbers - feature.mean) / feature.scale, 0.0)
    return scores.astype(np.float32)


def log_age(created_at: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.float64]:
    """The age feature: ``log(1 + days)`` from creation (ms, 0 where unknown) to ``now`` (ms); never below 0."""
    return np.where(created_at > 0, np.log1p(np.maximum(now - created_at, 0) / DAY_MS), 0.0)


@dataclass(frozen=True)
class ItemDescription:
    """The fields of an item that its row is made from.

    Attributes:
        category: empty where it has none.
        price: ``None`` where unknown.
        available: whether it may be recommended.
        created_at: milliseconds since the epoch; ``None`` where unknown.
        categorical: declared column -> its values.
        numeric: declared column -> its number.
    """

    category: str = ""
    price: float | None = None
    available: bool = True
    created_at: int | None = None
    categorical: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numeric: Mapping[str, float] = field(default_factory=dict)


def declared_columns(schema: FeatureSchema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the declared item columns, categorical and numeric: all but the canonical ones."""
    choices = tuple(feature.name for feature in schema.item if feature.kind == "categorical")
    numbers = tuple(feature.name for feature in schema.item if feature.kind == "numeric")
    return choices[1:], numbers[len(NUMERIC_FEATURES) + 1 :]


class RowEncoder:
    """Encodes packed item rows with the vocabularies and scales of a release.

    A new item gets the popularity of the release's items without events, and its age as of the release, so that the
    models get no value that training does not have.

    Args:
        release: the release.

    Attributes:
        categorical: the release's declared categorical columns.
        numeric: the release's declared numeric columns.
    """

    def __init__(self, release: Release) -> None:
        schema, vocabularies = release.schema, release.vocabularies
        self._dtype = schema.item_dtype
        self._as_of = release.manifest.as_of
        self._choices = tuple(feature for feature in schema.item if feature.kind == "categorical")
        numbers = tuple(feature for feature in schema.item if feature.kind == "numeric")
        self._numbers = numbers[len(NUMERIC_FEATURES) :]
        self._codes = {
            feature.name: {value: code for code, value in enumerate(vocabularies[feature.name]) if code}
            for feature in self._choices
        }
        self.categorical, self.numeric = declared_columns(schema)
        self._without_events = _popularity_without_events(release)

    def encode(self, item: ItemDescription, index: int) -> np.void:
        """The packed row of ``item`` with the index ``index``."""
        values = {self._choices[0].name: (item.category,), **item.categorical}
        codes: list[int] = []
        for feature in self._choices:
            known = known_codes(values.get(feature.name, ()), self._codes[feature.name], feature.width)
            codes += known + [0] * (feature.width - len(known))
        price = np.nan if item.price is None else np.log1p(item.price)
        given = {self._numbers[0].name: price, **item.numeric}
        declared = [
            standard_scores(np.array([given.get(feature.name, np.nan)], np.float64), feature)[0]
            for feature in self._numbers
        ]
        age = log_age(np.array([item.created_at or 0]), np.array([self._as_of]))[0]
        row = np.zeros(1, self._dtype)
        row["index"], row["available"] = index, item.available
        row["categorical"], row["numeric"] = codes, [*self._without_events, age, *declared]
        packed: np.void = row[0]
        return packed

    def changed(self, row: np.void, values: Mapping[str, Any]) -> np.void:
        """A row with the columns of ``values`` encoded anew; popularity and all other columns stay.

        Args:
            row: the packed row.
            values: column of the catalog -> value, ``None`` where it has none; columns that are not features do not
                count.
        """
        packed: np.void = np.array([row], self._dtype)[0]
        place = 0
        for feature in self._choices:
            if feature.name in values:
                given = values[feature.name]
                texts = [given] if isinstance(given, str) else given or []
                known = known_codes(texts, self._codes[feature.name], feature.width)
                packed["categorical"][place : place + feature.width] = known + [0] * (feature.width - len(known))
            place += feature.width
        for place, feature in enumerate(self._numbers, len(NUMERIC_FEATURES)):
            if feature.name in values:
                number = np.nan if values[feature.name] is None else float(values[feature.name])
                if feature is self._numbers[0]:
                    number = np.log1p(number)
                packed["numeric"][place] = standard_scores(np.array([number], np.float64), feature)[0]
        if "created_at" in values:
            created = np.array([values["created_at"] or 0])
            packed["numeric"][len(NUMERIC_FEATURES) - 1] = log_age(created, np.array([self._as_of]))[0]
        if "available" in values:
            packed["available"] = values["available"] is not False
        return packed


class UserRowEncoder:
    """Encodes packed user rows with the vocabularies and scales of a release.

    A row has the declared columns of the users table and nothing that is derived from events.

    Args:
        release: the release.

    Attributes:
        categorical: the release's categorical columns of users.
        numeric: the release's numeric columns of users.
    """

    def __init__(self, release: Release) -> None:
        choices = [feature for feature in release.schema.user if feature.kind == "categorical"]
        self._dtype = release.schema.user_dtype
        self._words = {feature.name: release.vocabularies[f"user_{feature.name}"] for feature in choices}
        self._codes = {
            name: {value: code for code, value in enumerate(words) if code} for name, words in self._words.items()
        }
        ends = np.cumsum([feature.width for feature in choices], dtype=np.int64).tolist()
        self._places = {
            feature.name: slice(end - feature.width, end) for feature, end in zip(choices, ends, strict=True)
        }
        self._numbers = [feature for feature in release.schema.user if feature.kind == "numeric"]
        self.categorical = tuple(self._words)
        self.numeric = tuple(feature.name for feature in self._numbers)

    def replaced(
        self, row: np.void | None, choices: Mapping[str, Sequence[str]], numbers: Mapping[str, float]
    ) -> np.void:
        """A row with some columns replaced, as feature extraction would write it.

        Args:
            row: the row; ``None`` for a user without one.
            choices: categorical column -> its values; none where it is empty.
            numbers: numeric column -> its number; NaN where it is unknown.
        """
        rows = np.zeros(1, self._dtype)
        if row is None:
            rows["available"] = 1
        else:
            rows[0] = row
        for name, values in choices.items():
            place = self._places[name]
            known = known_codes(values, self._codes[name], place.stop - place.start)
            rows["categorical"][0, place] = 0
            rows["categorical"][0, place.start : place.start + len(known)] = known
        for column, feature in enumerate(self._numbers):
            if feature.name in numbers:
                number = np.array([numbers[feature.name]], np.float64)
                rows["numeric"][0, column] = standard_scores(number, feature)[0]
        packed: np.void = rows[0]
        return packed

    def features_of(self, row: np.void) -> dict[str, list[int] | float]:
        """Column -> what the models get: the codes of a categorical one, the standard score of a numeric one."""
        codes: dict[str, list[int] | float] = {
            name: row["categorical"][place].tolist() for name, place in self._places.items()
        }
        return codes | {
            feature.name: score for feature, score in zip(self._numbers, row["numeric"].tolist(), strict=True)
        }

    def choices_of(self, row: np.void) -> dict[str, list[str]]:
        """Categorical column -> the values of a row that the release knows."""
        codes = row["categorical"]
        return {
            name: [self._words[name][code] for code in codes[place].tolist() if code]
            for name, place in self._places.items()
        }

    def numbers_of(self, row: np.void) -> dict[str, float | None]:
        """Numeric column -> the number of a row; ``None`` for an absent one, which is stored as the mean."""
        scores = zip(self._numbers, row["numeric"].tolist(), strict=True)
        # A float32 has seven digits.
        return {
            feature.name: float(f"{feature.mean + feature.scale * score:.7g}") if score else None
            for feature, score in scores
        }


def tower_inputs(rows: NDArray[np.void]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The tensors ``item_categorical`` and ``item_numeric`` of the item tower, from packed rows [B].

    The tower reads the declared numbers only; for a schema without such columns the tensor is one column of zeros,
    because no tensor on the wire has width 0.
    """
    categorical = np.ascontiguousarray(rows["categorical"])
    numeric = np.ascontiguousarray(rows["numeric"][:, len(NUMERIC_FEATURES) :])
    return (
        categorical if categorical.shape[1] else np.zeros((len(rows), 1), np.int32),
        numeric if numeric.shape[1] else np.zeros((len(rows), 1), np.float32),
    )


def _popularity_without_events(release: Release) -> list[float]:
    """:data:`POPULARITY_FEATURES` at ``as_of`` of an item without events.

    :class:`winnow.features.numerics.ItemNumerics` computes them for the items of a log. Without events the sums over
    the item are 0; the sums over all events come from the release's copy of the log.
    """
    timestamps = np.asarray(release.array("timestamp"))
    happened = timestamps < release.manifest.as_of
    values = release.schema.value_by_code[np.asarray(release.array("event"))]
    weights = (values * release.array("grade"))[happened]
    days = (release.manifest.as_of - timestamps[happened])[weights > 0] / DAY_MS
    items = release.items
    totals = {name: float(np.sum(2.0 ** (-days / half_life))) for name, half_life in HALF_LIVES.items()}
    totals["popularity"] = float(len(days))
    numbers = {name: float(np.log(items / (total + items))) for name, total in totals.items()}
    numbers["mean_weight"] = float(weights.mean()) if len(weights) else 0.0
    return [numbers[name] for name in POPULARITY_FEATURES]
