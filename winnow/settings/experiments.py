"""Experiments: which arm a user is in, and what the arm changes in the user's requests.

The assignment is a function of the experiment's name and the user's id alone, so every process, every restart and every
client of any language computes the same arm, and nothing is stored (docs/reference.md):

    u = (first 8 bytes of SHA-256 of "NAME:USER" in UTF-8, as a big-endian number) / 2^64

The user is in the first arm whose cumulative share is above ``u``; in the last one where none is, which only rounding
can cause. The name is part of the hash, so that the arms of two experiments are independent of each other.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from winnow.fields import Weight
from winnow.request import RecommendRequest
from winnow.schema import MOST_TYPES, Repeats
from winnow.settings.file import SettingsError, load

MOST_EXPERIMENTS = 20
MOST_ARMS = 10
_ROUNDING = 1e-9

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""The name of an experiment or an arm: no colon, which ends the name in the hash."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Defaults(_Section):
    """Fields of :class:`winnow.request.RecommendRequest` that an arm sets where the request leaves them out.

    Attributes:
        diversity: 0 orders by score alone, 1 by dissimilarity alone.
        objectives: event type -> weight, in place of the weight in force.
        repeats: what to do with items that the user has seen.
    """

    diversity: float | None = Field(default=None, ge=0.0, le=1.0)
    objectives: dict[str, Weight] | None = Field(default=None, min_length=1, max_length=MOST_TYPES)
    repeats: Repeats | None = None

    @cached_property
    def given(self) -> dict[str, object]:
        """Field -> value, of the fields that are set."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class Arm(_Section):
    """One arm of an experiment.

    Attributes:
        name: its name.
        share: share of the users.
        defaults: what it changes; nothing in an arm that is compared with.
    """

    name: Label
    share: float = Field(gt=0, lt=1)
    defaults: Defaults = Defaults()


class Experiment(_Section):
    """One experiment.

    Attributes:
        name: its name.
        arms: the arms, in the order of the assignment; the first is the one that the others are compared with.
    """

    name: Label
    arms: tuple[Arm, ...] = Field(max_length=MOST_ARMS)

    @field_validator("arms")
    @classmethod
    def _arms_divide_all_users(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        if len(arms) < 2:
            raise ValueError(f"an experiment needs at least 2 arms, got {len(arms)}")
        _each_once("arm", [arm.name for arm in arms])
        total = math.fsum(arm.share for arm in arms)
        if abs(total - 1.0) > _ROUNDING:
            raise ValueError(f"the shares of the arms must add up to 1, got {total:g}")
        return arms

    def arm_of(self, user_id: str) -> Arm:
        """The arm that a user is in."""
        place, until = position(self.name, user_id), 0.0
        for arm in self.arms:
            until += arm.share
            if place < until:
                return arm
        return self.arms[-1]


class Experiments(_Section):
    """The experiments of a transformer: the content of the file of ``--experiments``.

    Attributes:
        experiments: independent of each other, so no two may change the same field of a request.
    """

    experiments: tuple[Experiment, ...] = Field(default=(), max_length=MOST_EXPERIMENTS)

    @model_validator(mode="after")
    def _independent(self) -> Self:
        _each_once("experiment", [experiment.name for experiment in self.experiments])
        changed = Counter(
            name
            for experiment in self.experiments
            for name in {name for arm in experiment.arms for name in arm.defaults.given}
        )
        if shared := [name for name, count in changed.items() if count > 1]:
            among = [one.name for one in self.experiments if any(shared[0] in arm.defaults.given for arm in one.arms)]
            raise ValueError(
                f"{' and '.join(among)} both set {shared[0]}, and a user is in an arm of each: make them one experiment"
            )
        return self

    def check(self, events: Sequence[str], origin: str) -> None:
        """Check that the arms weigh event types of a release only.

        Args:
            events: the release's event types.
            origin: the file, for the message.

        Raises:
            SettingsError: an arm names another type.
        """
        for experiment in self.experiments:
            for arm in experiment.arms:
                for name in arm.defaults.objectives or ():
                    if name not in events:
                        raise SettingsError(
                            f"{origin}: arm {arm.name} of {experiment.name} has a weight of {name!r}, which is not an "
                            f"event type of the release: it has {', '.join(events)}"
                        )

    def assign(self, request: RecommendRequest) -> tuple[RecommendRequest, dict[str, str]]:
        """The request with what its arms set, and experiment -> arm; a request without a user is in no arm."""
        if request.user_id is None or not self.experiments:
            return request, {}
        arms = {experiment.name: experiment.arm_of(request.user_id) for experiment in self.experiments}
        missing = {
            name: value
            for arm in arms.values()
            for name, value in arm.defaults.given.items()
            if getattr(request, name) is None
        }
        return (
            request.model_copy(update=missing) if missing else request,
            {experiment: arm.name for experiment, arm in arms.items()},
        )


def position(experiment: str, user_id: str) -> float:
    """Where a user is among all users of an experiment: from 0 to 1, evenly distributed."""
    digest = hashlib.sha256(f"{experiment}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def read(path: Path, events: Sequence[str]) -> Experiments:
    """Read the file of ``--experiments`` for a release with these event types.

    Raises:
        SettingsError: the file is wrong, declares no experiment, or weighs another event type.
    """
    found = load(Experiments, path)
    if not found.experiments:
        raise SettingsError(f"{path}: declares no experiment; its list `experiments` has at least one")
    found.check(events, str(path))
    return found


def _each_once(kind: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"the {kind} {name} is declared {count} times")
