"""The contract of a recommendation: what may be asked, and what is answered.

A wrong request is refused with a message that names the field, what it must be and what it was; nothing is clipped,
coerced or ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NotRequired, Self, TypedDict, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from winnow import fields
from winnow.errors import WinnowError
from winnow.fields import FAULT, MAX_MEDIA_BYTES, Identifier, Name

MAX_INSTANCES = 64
"""Requests in one call."""

MAX_BODY_BYTES = 8 << 20
"""Bytes in one call, over HTTP and gRPC alike: one picture of the largest size fits."""

MAX_TEXT = 2000
"""Characters of a query's text."""

_LONGEST_QUOTE = 60
_WHOLE = "whole"


class InvalidRequest(WinnowError):
    """The caller's request breaks the contract; the message names each field."""


class Contract(BaseModel):
    """Strict: a string is never read as a number, and an unknown field is an error.

    Attributes:
        remark: what a caller who sends an unknown field should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    remark: ClassVar[str] = ""


class Media(Contract):
    """An encoded picture or sound, in the request itself.

    Attributes:
        b64: its bytes in base64.
    """

    remark: ClassVar[str] = "; URLs are not fetched"

    b64: str = Field(
        min_length=1,
        max_length=-(-MAX_MEDIA_BYTES // 3) * 4,
        description=f"base64 text of 1 to {MAX_MEDIA_BYTES} bytes",
    )


class ContentQuery(Contract):
    """What is looked for, shown or said; several together mean one thing that is all of it.

    Attributes:
        text: in words.
        image: a picture of it.
        audio: its sound.
    """

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = Field(
        default=None, description=f"a string of 1 to {MAX_TEXT} characters"
    )
    image: Media | None = Field(
        default=None, description='an object {"b64": ...} with the picture in base64 (URLs are not fetched)'
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
    """What the caller does and does not want to see."""

    categories: list[Name] | None = Field(
        default=None, max_length=50, description="a list of at most 50 category names"
    )
    exclude_items: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="a list of at most 1000 item ids"
    )


class RecommendRequest(Contract):
    """One request: who asks or what is looked for (or both), how many items, and under which limits.

    Attributes:
        user_id: who is asking; an unknown user is answered from what is trending.
        query: what is looked for, by content.
        k: how many items.
        debug: answer with the trace of every candidate.
        filters: categories to stay within, items to leave out.
        deadline_ms: when the answer must be on its way, in milliseconds; the server's own deadline where absent.
        diversity: 0 orders by score alone, 1 by dissimilarity alone; the server's own setting where absent.
    """

    user_id: Identifier | None = Field(default=None, description=fields.LENGTH)
    query: ContentQuery | None = Field(default=None, description="an object")
    k: int = Field(default=10, ge=1, le=100, description="a whole number between 1 and 100")
    debug: bool = Field(default=False, description="true or false")
    filters: RequestFilters = Field(default_factory=RequestFilters, description="an object")
    deadline_ms: int | None = Field(default=None, ge=10, le=10_000, description="a whole number between 10 and 10000")
    diversity: float | None = Field(default=None, ge=0.0, le=1.0, description="a number between 0 and 1")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.user_id is None and self.query is None:
            raise PydanticCustomError(
                _WHOLE, f".user_id: is required, and must be {fields.LENGTH}, unless there is a query"
            )
        return self


class RecommendedItem(TypedDict):
    """One item of an answer; ``score`` is what the order was made from, ``click`` and ``conversion`` probabilities.

    An item that is newer than the release comes with its title, which the release does not have.
    """

    item_id: str
    title: NotRequired[str]
    score: float
    click: float | None
    conversion: float | None
    sources: list[str]
    position: int


class Answer(TypedDict):
    """The answer to one request; ``degraded`` names every part the funnel had to do without, and why."""

    user_id: str | None
    release: int
    request_id: str
    items: list[RecommendedItem]
    degraded: list[str]
    trace: NotRequired[dict[str, Any]]


C = TypeVar("C", bound=Contract)


def parse_all(contract: type[C], instances: object) -> list[C]:
    """Check ``instances`` against ``contract``.

    Raises:
        InvalidRequest: naming the first few fields that are wrong, as in
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
    """What is wrong, one clause per field, at most three of them."""
    details = error.errors(include_url=False, include_context=False)
    # What is there too much explains best why something else is missing.
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    clauses = [_clause(contract, detail, where) for detail in details[:3]]
    rest = len(details) - len(clauses)
    return "; ".join(clauses) + (f"; and {rest} more" if rest else "")


def quote(value: object) -> str:
    """A value as the caller may recognise it, shortened."""
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
        # About several fields together; the message says it all. A field it begins with continues the path.
        return f"{where}{detail['msg']}"
    if detail["type"] == FAULT:
        expected = detail["msg"]
    if detail["type"] == "missing":
        return f"{where}: is required, and must be {expected}"
    return f"{where}: must be {expected}, got {quote(detail['input'])}"


def _inner(annotation: Any) -> type[Contract] | None:
    """The contract that a field holds, if it holds one."""
    candidates = [annotation, *get_args(annotation)]
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Contract)), None)
