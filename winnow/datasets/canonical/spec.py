"""The description of a data set: ``dataset.yaml``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from winnow import fields
from winnow.datasets.canonical.columns import ITEM_COLUMNS, REQUIRED_OF_EVENTS, USER_COLUMNS
from winnow.datasets.canonical.report import reading
from winnow.errors import DataError
from winnow.schema import LARGEST_VALUE, MOST_TYPES, Repeats

FILE = "dataset.yaml"

EXAMPLE = """\
name: my-shop
events:                                    # every event type, with the value of an event
  view: 1
  cart: 3
  purchase: {value: 10, window_days: 3}    # counts for a recommendation up to three days later; by default one day
  watch: {value: 2, full_amount: 30}       # its column amount grades it: 30 or more has the whole value, 15 half of it
  dislike: -5                              # a negative value: such items are pushed away
conversions: [purchase]                    # optional: by default the types of the largest value
repeats: hide                              # optional: hide seen items, allow them, or demote them below all others
items:
  categorical: [brand]                     # further columns of the items table
  numeric: [weight]
users:
  categorical: [country]
  numeric: [age]
max_bad_share: 0.001                       # optional: share of bad rows of the log that are left out
"""


class DeclaredColumns(BaseModel):
    """Further columns that become features.

    Attributes:
        categorical: columns of strings, or of lists of strings.
        numeric: columns of numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All declared columns, categorical columns first."""
        return self.categorical + self.numeric

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} declared more than once; declare each column once")
        return self


def _no_flag(given: Any) -> Any:
    """Pydantic reads true as 1, and a type that is declared ``true`` is a mistake."""
    if isinstance(given, bool):
        raise ValueError("a flag")
    return given


_Number = Annotated[float, BeforeValidator(_no_flag)]


class EventType(BaseModel):
    """What an event of one type means; a plain number in the file is its value.

    Attributes:
        value: worth of an event, negative for a dislike, 0 for an event that is recorded only.
        window_days: attribution window: an event counts for a recommendation up to this many days before it.
        full_amount: the ``amount`` of an event that has the whole value; an event with less has a share of it. ``None``
            for a type whose events all count alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: _Number = Field(
        ge=-LARGEST_VALUE,
        le=LARGEST_VALUE,
        description=f"a number from -{LARGEST_VALUE:g} to {LARGEST_VALUE:g}, the value of an event",
    )
    window_days: _Number = Field(default=1.0, gt=0, le=365, description="a number of days above 0 and at most 365")
    full_amount: _Number | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="a finite number above 0, or left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _number_is_the_value(cls, given: Any) -> Any:
        return given if isinstance(given, dict | cls) else {"value": given}


class DatasetSpec(BaseModel):
    """The contract of one data set.

    Attributes:
        name: name of the data set.
        events: event type -> its meaning; their order is the order of the codes.
        conversions: event types that count as success; by default those of the largest value.
        repeats: what a recommendation does with items that the user has seen.
        items: declared columns of the items table.
        users: declared columns of the users table.
        max_bad_share: share of the log that may be invalid: these rows are left out; a log with more is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    events: dict[str, EventType] = Field(min_length=1)
    conversions: tuple[str, ...] = Field(default=(), validate_default=True)
    repeats: Repeats = "hide"
    items: DeclaredColumns = DeclaredColumns()
    users: DeclaredColumns = DeclaredColumns()
    max_bad_share: float = Field(default=0.001, ge=0, lt=1)

    @field_validator("events")
    @classmethod
    def _types_are_names_and_one_is_positive(cls, events: dict[str, EventType]) -> dict[str, EventType]:
        if len(events) > MOST_TYPES:
            raise ValueError(f"{len(events)} types are too many (at most {MOST_TYPES}); merge some, or leave some out")
        for name in events:
            if fault := fields.identifier_fault(name):
                raise ValueError(f"the event type {name!r:.60} must be {fault}")
        if not any(kind.value > 0 for kind in events.values()):
            raise ValueError("no type has a positive value; give the events that a recommendation should lead to one")
        return events

    @field_validator("items")
    @classmethod
    def _items_are_not_canonical(cls, declared: DeclaredColumns) -> DeclaredColumns:
        return _beyond(declared, ITEM_COLUMNS)

    @field_validator("users")
    @classmethod
    def _users_are_not_canonical(cls, declared: DeclaredColumns) -> DeclaredColumns:
        return _beyond(declared, USER_COLUMNS)

    @field_validator("conversions")
    @classmethod
    def _conversions_are_declared(cls, conversions: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        events: dict[str, EventType] = info.data.get("events", {})
        unknown = [name for name in conversions if name not in events]
        if unknown and events:
            raise ValueError(f"{', '.join(unknown)} is not among the events; declare it there with its value")
        highest = max((kind.value for kind in events.values()), default=0.0)
        return conversions or tuple(name for name, kind in events.items() if kind.value == highest)

    @property
    def values(self) -> dict[str, float]:
        """Event type -> value of an event of that type."""
        return {name: kind.value for name, kind in self.events.items()}

    @classmethod
    def read(cls, path: Path, origin: str | None = None) -> "DatasetSpec":
        """Read ``dataset.yaml``.

        Args:
            path: the file.
            origin: its name in the error message, where the file is a copy.

        Raises:
            DataError: the file is missing or broken; the message names the field and the remedy.
        """
        origin = origin or str(path)
        with reading(origin.rpartition("/")[0], FILE):
            if not path.exists():
                raise DataError(f"{origin} is missing. Write one, for example:\n\n{EXAMPLE}")
            return cls.parse(path.read_text(encoding="utf-8-sig"), origin)

    @classmethod
    def parse(cls, text: str, origin: str) -> "DatasetSpec":
        """Parse the text of a ``dataset.yaml``; ``origin`` is its name in the error message.

        Raises:
            DataError: the text is not a valid description; the message names all invalid fields and the remedies.
        """
        with explained(origin):
            return cls.model_validate(yaml.safe_load(text))

    def write(self, path: Path) -> None:
        """Write ``dataset.yaml``."""
        content = self.model_dump(mode="json", exclude_none=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


@contextmanager
def explained(origin: str, example: str = EXAMPLE) -> Iterator[None]:
    """Turn the errors of a description into one that names all invalid fields and the remedies.

    Args:
        origin: name of the file in the error message.
        example: a valid file, for the end of the error message.

    Raises:
        DataError: the description is not valid YAML, or violates the contract.
    """
    try:
        yield
    except yaml.YAMLError as error:
        reason = f"it is not valid YAML: {error}"
    except ValidationError as error:
        reason = "".join(f"\n  {_path(problem)}: {_in_words(problem)}" for problem in error.errors())
    else:
        return
    raise DataError(f"{origin} is broken: {reason}\n\nA valid one looks like this:\n\n{example}")


def _beyond(declared: DeclaredColumns, canonical: dict[str, Any]) -> DeclaredColumns:
    taken = [name for name in declared.names if name in canonical or name in REQUIRED_OF_EVENTS]
    if taken:
        raise ValueError(f"{', '.join(taken)} is a canonical column; remove it from the declared columns")
    return declared


def _path(problem: ErrorDetails) -> str:
    return ".".join(str(part) for part in problem["loc"] if part != "[key]") or "the file"


def _in_words(problem: ErrorDetails) -> str:
    message, path = problem["msg"], problem["loc"]
    if message.startswith("Extra inputs"):
        return "no such field; correct its spelling or remove it"
    if message == "Field required":
        return "missing; add it"
    if path[-1:] == ("[key]",) or problem["type"] == "invalid_key":
        return "a name must be text; write it in quotes"
    if path == ("events",) and problem["type"] == "dict_type":
        return f"must be the event types, each with its value, as {{view: 1}}, got {problem['input']!r:.60}"
    if path[:1] == ("events",) and (field := EventType.model_fields.get(str(path[-1]))):
        return f"must be {field.description}, got {problem['input']!r:.60}"
    return message.removeprefix("Value error, ")
