"""The contract of a recommendation: request and answer.

An invalid request is refused with a message that names the field, the rule and the value; no value is clipped, coerced
or ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NotRequired, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from winnow import fields
from winnow.errors import WinnowError
from winnow.fields import FAULT, MAX_MEDIA_BYTES, Identifier, Name, Weight
from winnow.schema import MOST_TYPES, Repeats

MAX_K = 100
"""The longest list."""

MAX_DEADLINE_MS = 10_000
"""The longest time for an answer: with it, a busy machine gives the funnel's answers and not those of its fallbacks."""

MAX_INSTANCES = 64
"""Maximum of instances in one call."""

MAX_BODY_BYTES = 8 << 20
"""Maximum size of one call, over HTTP and gRPC; an image of the maximum size fits."""

MAX_TEXT = 2000
"""Maximum length of a query's text, in characters."""

_LONGEST_QUOTE = 60
_WHOLE = "whole"


class InvalidRequest(WinnowError):
    """A request violates the contract; the message names each field."""


class Contract(BaseModel):
    """A strict model: strings are not read as numbers, and an unknown field is an error.

    Attributes:
        remark: ends the error message about an unknown field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    remark: ClassVar[str] = ""


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
    """

    categories: list[Name] | None = Field(
        default=None, max_length=50, description="a list of at most 50 category names"
    )
    exclude_items: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="a list of at most 1000 item ids"
    )


class RecommendRequest(Contract):
    """One request: for a user, by a query, or both.

    Attributes:
        user_id: the user; an unknown user gets trending items.
        query: a query by content.
        k: number of items.
        debug: whether the answer includes a trace of every candidate.
        filters: categories to recommend from, items to leave out.
        deadline_ms: milliseconds until the server sends the answer; ``None`` for the server's default.
        diversity: 0 orders by score alone, 1 by dissimilarity alone; ``None`` for the server's default.
        objectives: event type -> weight, in place of the weight in force; ``None`` changes none.
        repeats: what to do with items that the user has seen; ``None`` for the release's setting.
    """

    user_id: Identifier | None = Field(default=None, description=fields.LENGTH)
    query: ContentQuery | None = Field(default=None, description="an object")
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

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.user_id is None and self.query is None:
            raise PydanticCustomError(
                _WHOLE, f".user_id: is required, and must be {fields.LENGTH}, unless there is a query"
            )
        return self


class RecommendedItem(TypedDict):
    """One item of an answer.

    ``click`` is the probability that the user interacts with the item, ``conversion`` that of a conversion given an
    interaction, and ``value`` what showing the item is worth by the weights in force. They are ``None`` where the
    ranker was not called. ``score`` is what items are ordered by. New items have a title, because the release does not
    have it.
    """

    item_id: str
    title: NotRequired[str]
    score: float
    click: float | None
    conversion: float | None
    value: float | None
    sources: list[str]
    position: int


class Answer(TypedDict):
    """The answer to one request; ``degraded`` names every component that was unavailable, and the reason.

    ``reused_ms`` is present where an earlier answer was reused, because nothing that it was computed from had changed:
    its age in milliseconds. ``explored`` is present where the list was drawn at random (``--explore``).
    ``arms`` is present where the user takes part in experiments (``--experiments``): experiment -> arm.
    """

    user_id: str | None
    release: int
    request_id: str
    items: list[RecommendedItem]
    degraded: list[str]
    reused_ms: NotRequired[int]
    explored: NotRequired[bool]
    arms: NotRequired[Mapping[str, str]]
    trace: NotRequired[dict[str, Any]]


C = TypeVar("C", bound=Contract)


def parse_all(contract: type[C], instances: object) -> list[C]:
    """Check ``instances`` against ``contract``.

    Raises:
        InvalidRequest: an instance is invalid; the message names up to three fields, as in
            ``instances[2].k: must be a whole number between 1 and 100, got 500``.
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
    """The contract of a nested field; ``None`` for a plain value."""
    candidates = [annotation, *get_args(annotation)]
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Contract)), None)
