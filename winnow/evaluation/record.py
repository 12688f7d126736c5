"""The evaluation of a release, as the gate and the report read it.

It is written beside the releases, at ``evaluations/N/record.json`` of the home, because a release's own folder never
changes. Every estimate has a 95 % interval, from a bootstrap over the evaluated users; a difference is of the same
users on both sides (Efron and Tibshirani, An Introduction to the Bootstrap, chapters 13 and 16).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from winnow import files
from winnow.errors import WinnowError

FILE = "record.json"

USERS_FILE = "users.parquet"
"""Beside the record, a row per evaluated user: ``user_id``, the held-out ``item_id``, its ``moment`` and ``value``, and
for each recommender ``rank_NAME``, the item's place in the first fifty from 1: 0 where they lack it, null where that
recommender was not asked."""

FUNNEL = "funnel"
"""The recommender of a record's metrics that is the served funnel of the evaluated release."""

LIVE = "live"
"""The recommender of a record's metrics that is the live release's funnel."""

CLICK = "click"
"""The calibration of the probability that the user takes a candidate next."""


class Stored(BaseModel):
    """A part of the record: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Stored):
    """A mean over users, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Group(Stored):
    """Some of the evaluated users.

    Attributes:
        users: their number.
        metrics: recommender -> metric -> estimate.
        differences: recommender -> metric -> the funnel's estimate minus that recommender's, of the same users.
    """

    users: int
    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]


class Loss(Stored):
    """A stage of the funnel, and the items among the held-out ones that it dropped.

    Attributes:
        stage: its name: ``sources``, a filter, ``ranker`` or ``orderer``.
        reached: held-out items that reached the stage.
        dropped: those that did not leave it. Of those outside of the first ten of the answer, the ``ranker`` dropped
            the ones that it left outside of its own, and the ``orderer`` the others.
    """

    stage: str
    reached: int
    dropped: int


class Bin(Stored):
    """Predictions of similar size, beside what happened: a point of a calibration plot."""

    predicted: float
    observed: float
    count: int


class Change(Stored):
    """A value of a column: its share of the rows, or a quantile of a numeric column, in the live release and now."""

    value: str
    before: float
    now: float


class ColumnDrift(Stored):
    """How a column differs from the live release's.

    Attributes:
        column: ``table.column``.
        kind: its kind.
        distance: between 0 (the same) and 1: of a categorical column the Jensen-Shannon distance (base 2), of a numeric
            one the Kolmogorov-Smirnov statistic.
        chance: the distance that 95 % of such samples of one population would stay below.
        missing: share of the rows without a value; ``before`` is the live release's.
        changes: the shares that changed most, or the quartiles.
    """

    column: str
    kind: Literal["categorical", "numeric"]
    distance: float
    chance: float
    missing: Change
    changes: list[Change]


class DataDrift(Stored):
    """The data of the release beside that of the live one.

    Attributes:
        volumes: counts of the tables.
        columns: columns that both have, the largest distance first.
        only: columns that only one of them has.
    """

    volumes: list[Change]
    columns: list[ColumnDrift]
    only: list[str]


class EvaluationRecord(Stored):
    """What was measured of a release.

    Attributes:
        release: the evaluated release, which was built without the held-out events.
        live: the live release that it was compared with; ``None`` without one.
        uncompared: why there is no comparison with the live release; empty where there is one.
        objective: the outcomes that count.
        types: their event types.
        split: the split, in words.
        items: items of the catalog.
        overall: all evaluated users; without the live release.
        beside_live: the users whose held-out event is later than the live release's data, which both releases
            therefore do not know; ``None`` without such users.
        segments: dimension (``activity``, ``new users``, a column of the users, ``item's age``, ``item's
            category``, ``item's content``) -> segment -> its users.
        losses: the stages in their order.
        calibration: ``click`` (the user takes the candidate next) and each event type (given that the user took the
            item) -> bins of ascending predictions.
        drift: the data beside the live release's; ``None`` without one.
    """

    release: int
    live: int | None
    uncompared: str
    objective: str
    types: list[str]
    split: str
    items: int
    overall: Group
    beside_live: Group | None
    segments: dict[str, dict[str, Group]]
    losses: list[Loss]
    calibration: dict[str, list[Bin]]
    drift: DataDrift | None = None


def folder(home: str, number: int) -> str:
    """Where the evaluation of a release lies in a home, which is a folder or an ``s3://`` address."""
    return files.inside(home, "evaluations", str(number))


def is_written(home: str, number: int) -> bool:
    """Whether a release was evaluated."""
    try:
        return files.size(files.inside(folder(home, number), FILE)) > 0
    except files.FileMissing:
        return False


def read(home: str, number: int) -> EvaluationRecord | None:
    """The record of a release's evaluation; ``None`` without one.

    Raises:
        WinnowError: the record cannot be read, or is of another version of Winnow.
    """
    address = files.inside(folder(home, number), FILE)
    try:
        return EvaluationRecord.model_validate_json(files.read(address))
    except files.FileMissing:
        return None
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors()[:3])
        raise WinnowError(
            f"{address} is not the record of an evaluation by this version of Winnow (it differs in {fields}): "
            "evaluate the release again"
        ) from None
