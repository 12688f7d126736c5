"""The contract of a recommendation: what may be asked, and what is answered.

A wrong request is refused with a message that names the field, what it must be and what it was; nothing is clipped,
coerced or ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from winnow.errors import WinnowError

MAX_INSTANCES = 64
"""Requests in one call."""

MAX_BODY_BYTES = 1 << 20
"""Bytes in one call, over HTTP and gRPC alike."""

_LONGEST_QUOTE = 60


class InvalidRequest(WinnowError):
    """The caller's request breaks the contract; the message names each field."""


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Contract(BaseModel):
    """Strict: a string is never read as a number, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RequestFilters(Contract):
    """What the caller does and does not want to see."""

    categories: list[Identifier] | None = Field(
        default=None, max_length=50, description="a list of at most 50 category names"
    )
    exclude_items: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="a list of at most 1000 item ids"
    )


class RecommendRequest(Contract):
    """One request: who asks, how many items, and under which limits.

    Attributes:
        user_id: who is asking; an unknown user is answered from what is trending.
        k: how many items.
        debug: answer with the trace of every candidate.
        filters: categories to stay within, items to leave out.
        deadline_ms: when the answer must be on its way, in milliseconds; the server's own deadline where absent.
        diversity: 0 orders by score alone, 1 by dissimilarity alone; the server's own setting where absent.
    """

    user_id: Identifier = Field(description="a string of 1 to 256 characters")
    k: int = Field(default=10, ge=1, le=100, description="a whole number between 1 and 100")
    debug: bool = Field(default=False, description="true or false")
    filters: RequestFilters = Field(default_factory=RequestFilters, description="an object")
    deadline_ms: int | None = Field(default=None, ge=10, le=10_000, description="a whole number between 10 and 10000")
    diversity: float | None = Field(default=None, ge=0.0, le=1.0, description="a number between 0 and 1")


class RecommendedItem(TypedDict):
    """One item of an answer; ``score`` is what the order was made from, ``click`` and ``conversion`` probabilities."""

    item_id: str
    score: float
    click: float | None
    conversion: float | None
    sources: list[str]
    position: int


class Answer(TypedDict):
    """The answer to one request; ``degraded`` names every part the funnel had to do without, and why."""

    user_id: str
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
    clauses = [_clause(contract, detail, where) for detail in details[:3]]
    rest = len(details) - len(clauses)
    return "; ".join(clauses) + (f"; and {rest} more" if rest else "")


def quote(value: object) -> str:
    """A value as the caller may recognise it, shortened."""
    if isinstance(value, list | dict) and len(value) > 5:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}… ({len(text)} characters)"


def _clause(contract: type[Contract], detail: ErrorDetails, where: str) -> str:
    fields: Mapping[str, Any] = contract.model_fields
    expected = "an object"
    for step in detail["loc"]:
        if isinstance(step, int):
            where, expected = f"{where}[{step}]", "a string of 1 to 256 characters"
            continue
        where = f"{where}.{quote(step)[1:-1]}"
        if detail["type"] == "extra_forbidden" and step not in fields:
            return f"{where}: is not a field; the fields are {', '.join(fields)}"
        expected = fields[step].description or expected
        inner = fields[step].annotation
        fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else fields
    if detail["type"] == "missing":
        return f"{where}: is required, and must be {expected}"
    return f"{where}: must be {expected}, got {quote(detail['input'])}"
