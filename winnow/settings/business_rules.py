"""``rules.yaml``: a shop's rules on what is recommended; docs/rules.md describes them.

A release has the rules that it was built with. Live rules (:mod:`winnow.store.business.rules`) replace them as a whole.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from winnow.fields import MAX_CAPS, MAX_WHERE, Boost, Cap, Identifier, Name, Pin, each_once
from winnow.settings.rules import Number, Section

MAX_FILTERS = 100
MAX_ALWAYS = 20
MAX_RULES = 50
"""Maximum of boosts, and of pins."""

FILE = "rules.json"
"""The rules in the folder of a release; absent from one without rules."""

HOME_FILE = "rules.yaml"
"""The rules that builds of a home take by default."""

Where = Annotated[str, StringConstraints(min_length=1, max_length=MAX_WHERE)]
"""A filter in the filter language."""


class Fatigue(Section):
    """Items that a user was shown often, without a positive event of theirs, lose weight.

    Attributes:
        after: showings after which an item has its full loss.
        weight: factor on the worth of such an item.
        half_life_hours: time in which a showing loses half of what it counts.
    """

    after: Annotated[int, Field(ge=1, le=100)]
    weight: Annotated[Number, Field(ge=0.01, lt=1)]
    half_life_hours: Annotated[Number, Field(ge=0.01, le=8760)]


class Rules(Section):
    """All rules; a field that the file leaves out has none.

    Attributes:
        filters: name -> filter, which requests and ``always`` name.
        always: names of the filters that apply to every recommendation.
        boosts: factors on the worth of items.
        pins: items at positions.
        caps: column -> items of one of its values in a list.
        fatigue: what showing an item again and again does.
    """

    filters: dict[Identifier, Where] = Field(default={}, max_length=MAX_FILTERS)
    always: tuple[Name, ...] = Field(default=(), max_length=MAX_ALWAYS)
    boosts: tuple[Boost, ...] = Field(default=(), max_length=MAX_RULES)
    pins: Annotated[tuple[Pin, ...], AfterValidator(each_once)] = Field(default=(), max_length=MAX_RULES)
    caps: dict[Name, Cap] = Field(default={}, max_length=MAX_CAPS)
    fatigue: Fatigue | None = None
