"""The caller of the request that is being answered.

A model whose action needs another scope than the model itself checks it where it decodes the action::

    from recommender_transformer.serving.access import caller

    caller.require("admin")
"""

from contextvars import ContextVar
from dataclasses import dataclass, field

from prometheus_client import Counter

from recommender_transformer.serving.access.refusals import Forbidden
from winnow.settings.access import SCOPES, Scope

COUNTED = Counter(
    "winnow_access_total",
    "Calls by caller and outcome: granted, missing, malformed, wrong, expired, scope, rate.",
    ("caller", "outcome"),
)
"""The caller is the name of a key, ``(jwt)`` for all tokens, ``(anonymous)`` for calls without either, and
``(unknown)`` for those with a wrong one."""


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        name: name of the key, or subject of the token; empty for anyone.
        scopes: what the caller may do.
        label: the caller in metrics.
        words: the caller in messages.
    """

    name: str
    scopes: frozenset[str]
    label: str = "(anonymous)"
    words: str = field(default="a call without a key")


ANYONE = Caller("", frozenset(SCOPES))
"""The caller where access control is off."""

_CURRENT: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def current() -> Caller:
    """The caller of this request; :data:`ANYONE` where access control is off."""
    return _CURRENT.get()


def enter(caller: Caller) -> None:
    """Set the caller of this request, which runs in a task of its own."""
    _CURRENT.set(caller)


def require(scope: Scope) -> None:
    """Check that the caller of this request may do something.

    Raises:
        Forbidden: the caller lacks the scope: 403, or PERMISSION_DENIED.
    """
    caller = _CURRENT.get()
    if scope not in caller.scopes:
        COUNTED.labels(caller.label, "scope").inc()
        raise Forbidden(scope, caller.words)
