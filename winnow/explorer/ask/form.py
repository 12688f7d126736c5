"""What a visitor asks: the fields of the page's form, which are also the address of the page."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from winnow.errors import WinnowError
from winnow.request import MAX_K

PAGE = "/ask"
K = 12
SHOWN = 60
"""Cards of a page; a click shows as many more."""
DEADLINE_MS = 1000
"""Longer than a shop's: on a busy laptop a visitor wants the funnel's answer, not that of its fallbacks."""

RELATIONS = ("similar", "complementary")

_LONGEST = 4000


class WrongForm(WinnowError):
    """A field of the form is wrong; the message names it."""


@dataclass(frozen=True)
class AskForm:
    """The fields, as texts; empty ones are not given.

    Attributes:
        user: id of a user.
        session: item ids, one a line, each with ``EVENT:`` before it where it is not a plain click.
        text: a query by text.
        media: key of an uploaded picture or sound.
        like: id of an item.
        relation: of the items to ``like``.
        where: a filter on the columns of the catalog.
        category: a category.
        k: number of items.
        diversity: 0 to 1.
        deadline: milliseconds.
        shown: number of cards on the page; not a part of what is asked.
    """

    user: str = ""
    session: str = ""
    text: str = ""
    media: str = ""
    like: str = ""
    relation: str = ""
    where: str = ""
    category: str = ""
    k: str = ""
    diversity: str = ""
    deadline: str = ""
    shown: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "AskForm":
        """Read a query or a form; other fields are ignored.

        Raises:
            WrongForm: a field is too long.
        """
        fields = {name: str(given.get(name, "")).strip() for name in cls.__dataclass_fields__}
        for name, value in fields.items():
            if len(value) > _LONGEST:
                raise WrongForm(f"{name}: has more than {_LONGEST:,} characters; shorten it")
        return cls(**fields)

    @property
    def asks(self) -> bool:
        """Whether there is something to ask for."""
        return any((self.user, self.session, self.text, self.media, self.like))

    @cached_property
    def query(self) -> dict[str, str]:
        """The given fields, for an address."""
        return {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name))}

    def with_fields(self, **fields: str) -> "AskForm":
        """The form with other values."""
        return replace(self, **fields)

    @property
    def cards(self) -> int:
        """The number of cards on the page.

        Raises:
            WrongForm: it is none.
        """
        return _whole("shown", self.shown or str(SHOWN), 1, MAX_K)

    def request(self, events: Collection[str], media: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the recommender's request.

        Args:
            events: the declared event types.
            media: ``image`` or ``audio`` of the uploaded file; empty without one.

        Raises:
            WrongForm: a number is none.
        """
        query: dict[str, Any] = {"text": self.text} if self.text else {}
        filters: dict[str, Any] = {}
        if self.where:
            filters["where"] = self.where
        if self.category:
            filters["categories"] = [self.category]
        return {
            "user_id": self.user or None,
            "items": _session(self.session, events) or None,
            "query": {**query, **media} or None,
            "like": self.like or None,
            "relation": (self.relation or None) if self.like else None,
            "filters": filters or None,
            "k": _whole("k", self.k or str(K), 1, MAX_K),
            "diversity": _share("diversity", self.diversity) if self.diversity else None,
            "deadline_ms": _whole("deadline", self.deadline or str(DEADLINE_MS), 10, 10_000),
            "debug": True,
            "reasons": True,
        }


def _session(text: str, events: Collection[str]) -> list[dict[str, str]]:
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        event, colon, item = line.partition(":")
        if colon and event.strip() in events and item.strip():
            found.append({"item_id": item.strip(), "event": event.strip()})
        else:
            found.append({"item_id": line})
    return found


def _whole(name: str, value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and least <= int(value[:9]) <= most):
        raise WrongForm(f"{name}: must be a whole number between {least} and {most:,}, got {value[:40]!a}")
    return int(value)


def _share(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise WrongForm(f"{name}: must be a number between 0 and 1, got {value[:40]!a}")
    return number
