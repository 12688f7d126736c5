"""The ``users`` model of the KServe server: changes, reads, merges and erases users."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Self

import orjson
from kserve import InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ServerNotReady  # type: ignore[import-untyped]
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recommender_transformer.backends.followed.live_users import LiveUsers
from recommender_transformer.serving.access import caller
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.declared_values import declared_value
from recommender_transformer.serving.events import TooManyEvents
from recommender_transformer.serving.protocols import codec
from winnow import fields
from winnow.errors import WinnowError
from winnow.features.row import UserRowEncoder
from winnow.fields import Identifier
from winnow.request import Contract, InvalidRequest, parse_all
from winnow.store.connection import FAILURES
from winnow.users import erase, merge, reading
from winnow.users.attributes import Value
from winnow.users.changes import ChangesFull, NotMerged

NAME = "users"
OUTPUTS = ("answer",)

Action = Literal["upsert", "read", "events", "merge", "erase"]

_NEWEST = 20
_PAGE = 100
_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    "upsert": ("attributes",),
    "read": ("n",),
    "events": ("n", "before"),
    "merge": ("into",),
    "erase": (),
}
"""Action -> the fields that it takes beside ``user_id``."""


_FOR_ADMINISTRATORS = ("merge", "erase")
"""Actions that cannot be undone: they need the scope ``admin``."""


class UserRequest(Contract):
    """One call for a user.

    Attributes:
        user_id: the user.
        action: what to do; by default the given attributes are changed.
        attributes: column -> value, for ``upsert``; others keep theirs, and null clears one.
        into: the other user, for ``merge``.
        n: number of events, for ``read`` and ``events``.
        before: ``next`` of the page before, for ``events``.
    """

    user_id: Identifier = Field(description=fields.LENGTH)
    action: Action = Field(default="upsert", description="upsert, read, events, merge or erase")
    attributes: dict[str, Any] | None = Field(
        default=None, max_length=1000, description="an object of declared columns of users"
    )
    into: Identifier | None = Field(default=None, description=fields.LENGTH)
    n: int | None = Field(default=None, ge=1, le=1000, description="a whole number between 1 and 1000")
    before: str | None = Field(
        default=None, pattern=r"^\d{1,9}:(\+|\(?\d{1,15}-\d{1,15})$", description="next of the page before"
    )

    @model_validator(mode="after")
    def _fields_fit_the_action(self) -> Self:
        for name in ("attributes", "into", "n", "before"):
            if getattr(self, name) is not None and name not in _OF_ACTION[self.action]:
                raise PydanticCustomError("whole", f".{name}: is not a field of the action {self.action}; remove it")
        if self.action == "merge" and self.into is None:
            raise PydanticCustomError("whole", f".into: is required by the action merge, and must be {fields.LENGTH}")
        if self.action == "merge" and self.into == self.user_id:
            raise PydanticCustomError("whole", ".into: must be another user than user_id")
        return self


class UsersUnavailable(ServerNotReady):  # type: ignore[misc]
    """Redis cannot be read or written: 503, because a change that is not stored must not be acknowledged."""

    @property
    def reason(self) -> str:
        """The message; KServe's gRPC server reads it here."""
        return str(self)


class UsersModel(ConnectedModel[LiveUsers]):
    """Checks calls against the release and does them in order.

    Args:
        live_users: changes and reads users of the release.
        connect: returns it, once it has caught up; called inside the server's event loop.
    """

    def __init__(self, live_users: LiveUsers, connect: Callable[[], Awaitable[LiveUsers]]) -> None:
        super().__init__(NAME, connect)
        self._release = live_users.release
        self._columns = UserRowEncoder(live_users.release)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.USER_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]

    async def preprocess(
        self, payload: object, headers: Mapping[str, str] | None = None
    ) -> tuple[list[UserRequest], InferRequest | None]:
        """Check the calls."""
        call = payload if isinstance(payload, InferRequest) else None
        if self.backend is None:
            raise UsersUnavailable("users: Redis is not connected yet")
        try:
            codec.check_outputs(call, OUTPUTS)
            requests = parse_all(UserRequest, codec.instances(payload, codec.USER_TENSORS, codec.USER_LEADING))
            if any(request.action in _FOR_ADMINISTRATORS for request in requests):
                caller.require("admin")
            requests = [self._checked(request, f"instances[{n}].attributes") for n, request in enumerate(requests)]
            if sum(request.action == "erase" for request in requests) > 1:
                raise InvalidRequest("instances: must erase at most one user, because each takes seconds; send several")
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return requests, call

    async def predict(
        self,
        payload: tuple[list[UserRequest], InferRequest | None],
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Do the calls, in order; upserts that follow each other go together."""
        requests, call = payload
        answers: list[dict[str, Any]] = []
        for run in _runs(requests):
            try:
                answers += await self._do(run)
            except (NotMerged, merge.Unreadable, erase.MergedAway) as error:
                raise InvalidInput(f"instances[{len(answers)}].{error}") from None
            except ChangesFull as error:
                raise TooManyEvents(f"users: {error}") from None
            except (*FAILURES, WinnowError, OSError) as error:
                raise UsersUnavailable(
                    f"users: {len(answers)} of {len(requests)} calls were done, then Redis failed; sending them again "
                    f"is safe ({error})"
                ) from error
        if call is None:
            return {"predictions": answers}
        texts = [orjson.dumps(answer).decode() for answer in answers]
        outputs = [codec.strings("answer", [len(texts)], texts)]
        return codec.response(call, self.name, self._release.manifest.number, outputs)

    async def _do(self, run: Sequence[UserRequest]) -> list[dict[str, Any]]:
        users, request = self.backend, run[0]
        assert users is not None
        user_id, release = request.user_id, self._release
        if request.action == "upsert":
            changes = [(one.user_id, one.attributes or {}) for one in run]
            known = await users.call(lambda client, attributes: _upsert(attributes, changes))
            return [{"user_id": one.user_id, "known": before} for one, before in zip(run, known, strict=True)]
        if request.action == "read":
            newest = request.n or _NEWEST
            found = await users.call(
                lambda client, attributes: reading.read(client, release, attributes, user_id, newest)
            )
            return [found]
        if request.action == "events":
            most, before = request.n or _PAGE, request.before
            page = await users.call(lambda client, _: reading.events(client, release, user_id, most, before))
            return [{"user_id": user_id, **page}]
        if request.action == "merge":
            into = request.into
            assert into is not None
            at_ms = await users.call(lambda client, attributes: merge.merge(client, release, attributes, user_id, into))
            return [{"user_id": user_id, "into": into, "at_ms": at_ms}]
        done = await users.call(lambda client, _: erase.erase(client, user_id), slow=True)
        return [{"user_id": user_id, "erased": done._asdict()}]

    def _checked(self, request: UserRequest, where: str) -> UserRequest:
        """The call with its attributes as they are stored."""
        if request.attributes is None:
            return request
        given = request.attributes.items()
        values = {name: declared_value(name, value, self._columns, "users", where) for name, value in given}
        return request.model_copy(update={"attributes": values})


def _upsert(attributes: Any, changes: Sequence[tuple[str, Mapping[str, Value]]]) -> list[bool]:
    known: list[bool] = attributes.have_rows([user_id for user_id, _ in changes])
    attributes.change(changes)
    return known


def _runs(requests: Sequence[UserRequest]) -> list[list[UserRequest]]:
    """Consecutive upserts together, each other call alone."""
    runs: list[list[UserRequest]] = []
    for request in requests:
        if runs and request.action == runs[-1][0].action == "upsert":
            runs[-1].append(request)
        else:
            runs.append([request])
    return runs
