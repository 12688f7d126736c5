"""Rules whose filters are parsed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from winnow.filtering.filter import Filter, parse
from winnow.items.column import Kind, Schema
from winnow.request import Boost, InvalidRequest
from winnow.settings.business_rules import Rules
from winnow.settings.file import SettingsError
from winnow.settings.file import parse as parse_settings

_MOST_PROBLEMS = 5
CAPPED_KINDS: tuple[Kind, ...] = ("text", "texts")
"""Kinds of columns that can be capped."""


class CompiledBoost(NamedTuple):
    """A boost whose filter is parsed.

    Attributes:
        boost: the boost.
        filter: selects its items.
    """

    boost: Boost
    filter: Filter

    @property
    def log_factor(self) -> float:
        """Logarithm of its factor."""
        return math.log(self.boost.factor)

    @property
    def name(self) -> str:
        """What a trace calls it."""
        return self.boost.name or self.boost.where


@dataclass(frozen=True)
class CompiledRules:
    """The rules of a release, or the live ones.

    Attributes:
        rules: as they were written.
        filters: name -> filter.
        boosts: the boosts.
    """

    rules: Rules = field(default_factory=Rules)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    boosts: tuple[CompiledBoost, ...] = ()

    @property
    def apply_to_all(self) -> bool:
        """Whether they apply to requests that name none of them."""
        rules = self.rules
        return bool(rules.always or rules.boosts or rules.pins or rules.caps or rules.fatigue)

    @classmethod
    def read(cls, text: str, columns: Schema, origin: str) -> "CompiledRules":
        """Check rules against the columns of a release.

        Args:
            text: the rules as YAML or JSON; empty for none.
            columns: the catalog.
            origin: the file or parameter that the text is from, for messages.

        Raises:
            SettingsError: the text is wrong; the message names up to five fields.
        """
        return cls.of(parse_settings(Rules, text, origin), columns, origin)

    @classmethod
    def of(cls, rules: Rules, columns: Schema, origin: str) -> "CompiledRules":
        """Parse the filters of rules.

        Raises:
            SettingsError: a filter, a name or a column is wrong; the message names up to five fields.
        """
        problems: list[str] = []
        filters: dict[str, Filter] = {}
        boosts = []
        for name, where in rules.filters.items():
            try:
                filters[name] = parse(where, columns, f"filters.{name}")
            except InvalidRequest as error:
                problems.append(str(error))
        for place, name in enumerate(rules.always):
            if name not in rules.filters:
                problems.append(f"always[{place}]: {name!r} is not one of the filters ({_names(rules.filters)})")
        for place, boost in enumerate(rules.boosts):
            try:
                boosts.append(CompiledBoost(boost, parse(boost.where, columns, f"boosts[{place}].where")))
            except InvalidRequest as error:
                problems.append(str(error))
        problems += [f"caps.{name}: {fault}" for name in rules.caps if (fault := cap_fault(name, columns.kinds))]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            counted = [*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            raise SettingsError(f"{origin}: {'; '.join(counted)}")
        return cls(rules, filters, tuple(boosts))


def cap_fault(name: str, columns: Mapping[str, Kind]) -> str | None:
    """Why a column cannot be capped; ``None`` where it can."""
    if columns.get(name) in CAPPED_KINDS:
        return None
    texts = _names([column for column, kind in columns.items() if kind in CAPPED_KINDS])
    what = "is not a column of the catalog" if name not in columns else f"has values of the kind {columns[name]}"
    return f"{what}; columns of texts are {texts}"


def _names(names: object) -> str:
    found = list(names)  # type: ignore[call-overload]
    return ", ".join(found) if found else "there are none"
