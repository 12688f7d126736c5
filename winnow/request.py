"""The contract of a recommendation: request and answer.

An invalid request is refused with a message that names the field, the rule and the value; no value is clipped, coerced
or ignored.
"""

from collections.abc import Mapping, Sequence, Sized
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from winnow import fields, moments
from winnow.errors import WinnowError
from winnow.fields import (
    FAULT,
    LONGEST_QUOTE,
    MAX_CAPS,
    MAX_MEDIA_BYTES,
    Cap,
    Happened,
    Identifier,
    Name,
    Weight,
    each_once,
)
from winnow.fields import MAX_K as MAX_K
from winnow.fields import MAX_WHERE as MAX_WHERE
from winnow.fields import Boost as Boost
from winnow.fields import Contract as Contract
from winnow.fields import Pin as Pin
from winnow.forms import combinations
from winnow.forms.answer import Answer as Answer
from winnow.forms.answer import Reason as Reason
from winnow.forms.answer import RecommendedItem as RecommendedItem
from winnow.forms.combinations import FormName, ListName, Relation
from winnow.schema import MOST_TYPES, Repeats

MAX_BOOSTS = 20
"""Maximum of boosts in a request."""

MAX_PINS = 20
"""Maximum of pins in a request."""

MAX_NAMED = 20
"""Maximum of named filters in a request."""

MAX_RANKED = 500
"""Maximum of a caller's own list that is ranked."""

MAX_SESSION = 200
"""Maximum of events in a session: those of a user's history in Redis."""

MAX_DEADLINE_MS = 10_000
"""The longest time for an answer: with it, a busy machine gives the funnel's answers and not those of its fallbacks."""

MAX_INSTANCES = 64
"""Maximum of instances in one call."""

MAX_BODY_BYTES = 8 << 20
"""Maximum size of one call, over HTTP and gRPC; an image of the maximum size fits."""

MAX_TEXT = 2000
"""Maximum length of a query's text, in characters."""

MAX_PAGED = 1000
"""Items that are shown before there is no further page."""

_LONGEST_QUOTE = 60
_WHOLE = "whole"
_OTHER_LENGTH = {"k", "recommendation_id"}
_PLAIN = frozenset({"user_id", "k", "debug", "filters", "deadline_ms", "reasons"})
"""Fields of the most frequent requests, which can all be combined."""


class InvalidRequest(WinnowError):
    """A request violates the contract; the message names each field."""


class Media(Contract):
    """An encoded image or sound within the request.

    Attributes:
        b64: the bytes in base64.
    """

    remark: ClassVar[str] = "; URLs are not fetched"

    b64: str = Field(
        min_length=1,
        max_length=-(-MAX_MEDIA_BYTES // 3) * 4,
        description=f"base64 text of 1 to {MAX_MEDIA_BYTES} bytes",
    )


class ContentQuery(Contract):
    """A query by content; several modalities together describe one item.

    Attributes:
        text: a description.
        image: an image of the item.
        audio: a sound of the item.
    """

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = Field(
        default=None, description=f"a string of 1 to {MAX_TEXT} characters"
    )
    image: Media | None = Field(
        default=None, description='an object {"b64": ...} with the image in base64 (URLs are not fetched)'
    )
    audio: Media | None = Field(
        default=None, description='an object {"b64": ...} with the sound in base64 (URLs are not fetched)'
    )

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.text is None and self.image is None and self.audio is None:
            raise PydanticCustomError(_WHOLE, ": must have at least one of text, image, audio")
        return self


class RequestFilters(Contract):
    """Filters on the recommended items.

    Attributes:
        categories: categories to recommend from; ``None`` for all.
        exclude_items: ids of items to leave out.
        where: a condition on the columns of the catalog, in the filter language; ``None`` for all items.
        named: names of filters that the rules in force define; all of them apply.
    """

    categories: list[Name] | None = Field(
        default=None, max_length=50, description="a list of at most 50 category names"
    )
    exclude_items: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="a list of at most 1000 item ids"
    )
    where: Annotated[str, StringConstraints(min_length=1, max_length=MAX_WHERE)] | None = Field(
        default=None, description=f"a filter of 1 to {MAX_WHERE} characters, such as 'price < 20'"
    )
    named: list[Name] = Field(
        default_factory=list, max_length=MAX_NAMED, description=f"a list of at most {MAX_NAMED} names of filters"
    )


class SessionEvent(Contract):
    """An event of a session, in the form that the ``events`` model takes.

    Attributes:
        item_id: the item; an item that is not in the catalog is left out, because it may have been deleted.
        event: a declared type; ``None`` for that of a plain click (:attr:`winnow.schema.FeatureSchema.plain_event`).
        timestamp: when it happened, milliseconds; ``None`` for the time of the event behind it, or of the request.
        amount: grades the event. It is checked, and like that of a stored event it changes no history.
    """

    item_id: Identifier = Field(description=fields.LENGTH)
    event: Identifier | None = Field(default=None, description="a declared event type")
    timestamp: Happened | None = Field(default=None, description=moments.IN_WORDS)
    amount: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="a finite number, 0 or above")


_Session = list[SessionEvent]
_Ids = list[Identifier]
_Boosts = list[Boost]
_Pins = Annotated[list[Pin], AfterValidator(each_once)]


class RecommendRequest(Contract):
    """One request: for a user, for a session, by a query, like an item, for a list to rank, or for a list as it is.

    :mod:`winnow.forms.combinations` has the fields that may be combined.

    Attributes:
        user_id: the user; an unknown user gets trending items.
        query: a query by content.
        items: the events of a session, oldest first; they follow those of the user, if there is one.
        like: an item, to which the recommended ones are related.
        relation: how; ``None`` is ``similar``.
        rank: distinct ids of the caller's own list, which is ranked.
        list: a list that is shown as it is.
        k: number of items; by default 10, of a caller's own list all.
        debug: whether the answer includes a trace of every candidate.
        filters: categories to recommend from, items to leave out.
        deadline_ms: milliseconds until the server sends the answer; ``None`` for the server's default.
        diversity: 0 orders by score alone, 1 by dissimilarity alone; ``None`` for the server's default.
        objectives: event type -> weight, in place of the weight in force; ``None`` changes none.
        repeats: what to do with items that the user has seen; ``None`` for the release's setting.
        boosts: factors on the worth of items, beside those of the rules in force.
        pins: items at positions, before those of the rules in force.
        caps: column -> items of one of its values in the list; before those of the rules in force.
        recommendation_id: that of an earlier answer, whose next page is wanted; ``None`` for a first page.
        reasons: whether each item has a reason.
    """

    user_id: Identifier | None = Field(default=None, description=fields.LENGTH)
    query: ContentQuery | None = Field(default=None, description="an object")
    items: _Session | None = Field(
        default=None,
        max_length=MAX_SESSION,
        description=f'a list of at most {MAX_SESSION} events, each an object with an "item_id"',
    )
    like: Identifier | None = Field(default=None, description=fields.LENGTH)
    relation: Relation | None = Field(default=None, description="similar or complementary")
    rank: _Ids | None = Field(
        default=None, min_length=1, max_length=MAX_RANKED, description=f"a list of 1 to {MAX_RANKED} distinct item ids"
    )
    list: ListName | None = Field(default=None, description="popular, trending, new or last_seen")
    k: int = Field(default=10, ge=1, le=MAX_K, description=f"a whole number between 1 and {MAX_K}")
    debug: bool = Field(default=False, description="true or false")
    filters: RequestFilters = Field(default_factory=RequestFilters, description="an object")
    deadline_ms: int | None = Field(
        default=None, ge=10, le=MAX_DEADLINE_MS, description=f"a whole number between 10 and {MAX_DEADLINE_MS}"
    )
    diversity: float | None = Field(default=None, ge=0.0, le=1.0, description="a number between 0 and 1")
    objectives: dict[str, Weight] | None = Field(
        default=None,
        max_length=MOST_TYPES,
        description=f"an object of at most {MOST_TYPES} event types, each with its weight",
    )
    repeats: Repeats | None = Field(default=None, description="hide, allow or demote")
    boosts: _Boosts | None = Field(
        default=None,
        max_length=MAX_BOOSTS,
        description=f"a list of at most {MAX_BOOSTS} objects, each with where and factor",
    )
    pins: _Pins | None = Field(
        default=None,
        max_length=MAX_PINS,
        description=f"a list of at most {MAX_PINS} objects, each with item_id and position",
    )
    caps: dict[Name, Cap] | None = Field(
        default=None,
        max_length=MAX_CAPS,
        description=f"an object of at most {MAX_CAPS} columns, each with a whole number between 1 and {MAX_K}",
    )
    recommendation_id: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_QUOTE, description="the recommendation_id of an answer, whole"
    )
    reasons: bool = Field(default=False, description="true or false")

    @model_validator(mode="before")
    @classmethod
    def _all_of_an_own_list(cls, given: Any) -> Any:
        """The default of ``k`` is the length of the caller's own list."""
        own = given.get("rank") if isinstance(given, dict) and given.keys().isdisjoint(_OTHER_LENGTH) else None
        return given | {"k": len(own)} if isinstance(own, Sized) and 1 <= len(own) <= MAX_RANKED else given

    @model_validator(mode="after")
    def _can_be_combined(self) -> Self:
        if self.model_fields_set <= _PLAIN and self.user_id is not None:
            return self
        given = self.given
        if self.recommendation_id is None and not any(field in given for field in combinations.ASKED):
            others = ", ".join((*combinations.ASKED[1:], "recommendation_id"))
            message = f".user_id: is required, and must be {fields.LENGTH}, unless there is one of {others}"
            raise PydanticCustomError(_WHOLE, message)
        if wrong := combinations.fault(given, self.list):
            raise PydanticCustomError(_WHOLE, wrong)
        if self.rank is not None and len(set(self.rank)) < len(self.rank):
            again = next(item_id for n, item_id in enumerate(self.rank) if item_id in self.rank[:n])
            raise PydanticCustomError(_WHOLE, f".rank: must have distinct ids, but {quote(again)} is given twice")
        return self

    @property
    def given(self) -> set[str]:
        """The fields that the request has."""
        return {name for name in self.model_fields_set if getattr(self, name) is not None}

    @property
    def form(self) -> FormName:
        """The form of the request."""
        return combinations.form_of(self.given)


C = TypeVar("C", bound=Contract)


def parse_all(contract: type[C], instances: object) -> list[C]:
    """Check ``instances`` against ``contract``.

    Raises:
        InvalidRequest: an instance is invalid; the message names up to three fields, as in
            ``instances[2].k: must be a whole number between 1 and 500, got 501``.
    """
    if not isinstance(instances, Sequence) or isinstance(instances, str | bytes):
        raise InvalidRequest(f"instances: must be a list, got {quote(instances)}")
    if not 1 <= len(instances) <= MAX_INSTANCES:
        raise InvalidRequest(f"instances: must be a list of 1 to {MAX_INSTANCES}, got {len(instances)} of them")
    parsed = []
    for position, instance in enumerate(instances):
        try:
            parsed.append(contract.model_validate(instance))
        except ValidationError as error:
            raise InvalidRequest(explain(contract, error, f"instances[{position}]")) from None
    return parsed


def explain(contract: type[Contract], error: ValidationError, where: str) -> str:
    """The message of a validation error: a clause per field, for at most three fields."""
    details = error.errors(include_url=False, include_context=False)
    # Unknown fields come first: a misspelt field explains why another is missing.
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    clauses = [_clause(contract, detail, where) for detail in details[:3]]
    rest = len(details) - len(clauses)
    return "; ".join(clauses) + (f"; and {rest} more" if rest else "")


def quote(value: object) -> str:
    """A value in an error message, shortened."""
    if isinstance(value, list | dict) and len(value) > 5:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, str | bytes) and len(value) > _LONGEST_QUOTE:
        return f"{value[:_LONGEST_QUOTE]!a}… ({len(value)} characters)"
    text = ascii(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}… ({len(text)} characters)"


def _clause(contract: type[Contract], detail: ErrorDetails, where: str) -> str:
    expected = "an object"
    model: type[Contract] = contract
    for step in detail["loc"]:
        if isinstance(step, int):
            where, expected = f"{where}[{step}]", fields.LENGTH
            continue
        where = f"{where}.{quote(step)[1:-1]}"
        known: Mapping[str, Any] = model.model_fields
        if detail["type"] == "extra_forbidden" and step not in known:
            return f"{where}: is not a field; the fields are {', '.join(known)}{model.remark}"
        if step not in known:
            continue
        expected = known[step].description or expected
        model = _inner(known[step].annotation) or model
    if detail["type"] == _WHOLE:
        # The error concerns several fields: its message is complete, and begins with the rest of the path.
        return f"{where}{detail['msg']}"
    if detail["type"] == FAULT:
        expected = detail["msg"]
    if detail["type"] == "missing":
        return f"{where}: is required, and must be {expected}"
    return f"{where}: must be {expected}, got {quote(detail['input'])}"


def _inner(annotation: Any) -> type[Contract] | None:
    """The contract of a nested field, or of the elements of a list; ``None`` for a plain value."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, Contract) else None
    return next((kind for part in get_args(annotation) if (kind := _inner(part))), None)
