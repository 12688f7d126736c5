"""The three refusals, each with its HTTP status and its gRPC code."""

import math
from collections.abc import Sequence

import grpc
import orjson
from fastapi import Request
from fastapi.responses import Response
from grpc_interceptor.exceptions import GrpcException

Headers = Sequence[tuple[str, str]]

_REALM = 'Bearer realm="winnow"'


class AccessRefused(GrpcException):
    """A call is refused; the message names the remedy and quotes nothing of the call.

    Attributes:
        status: the HTTP status.
        headers: HTTP headers of the response, and trailing metadata over gRPC.
        outcome: label of the metric.
    """

    status = 401
    headers: Headers = ()
    outcome = ""

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(details=message)
        self.outcome = outcome

    @property
    def body(self) -> bytes:
        """The body of the HTTP response."""
        return orjson.dumps({"error": self.details})


class Unauthenticated(AccessRefused):
    """There is no valid key or token.

    Args:
        message: what is wrong.
        outcome: ``missing``, ``malformed``, ``wrong`` or ``expired``.
    """

    status_code = grpc.StatusCode.UNAUTHENTICATED

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message, outcome)
        # RFC 6750: a call without a credential is told no error code.
        fault = "" if outcome == "missing" else ', error="invalid_token"'
        self.headers = (("www-authenticate", _REALM + fault),)


class Forbidden(AccessRefused):
    """The caller lacks a scope.

    Args:
        scope: the scope.
        subject: the caller, in words.
    """

    status_code = grpc.StatusCode.PERMISSION_DENIED
    status = 403

    def __init__(self, scope: str, subject: str) -> None:
        super().__init__(f"access: this call needs the scope {scope}, which {subject} does not have", "scope")
        self.headers = (("www-authenticate", f'{_REALM}, error="insufficient_scope", scope="{scope}"'),)


class RateExceeded(AccessRefused):
    """The caller's token bucket is empty.

    Args:
        wait_s: seconds until the next call is admitted.
    """

    status_code = grpc.StatusCode.RESOURCE_EXHAUSTED
    status = 429

    def __init__(self, wait_s: float) -> None:
        seconds = max(1, math.ceil(wait_s))
        super().__init__(f"access: this key's rate limit is used up: send the next call in {seconds} s", "rate")
        self.headers = (("retry-after", str(seconds)),)


async def refused(request: Request, error: Exception) -> Response:
    """The HTTP response to an :class:`AccessRefused` that a model raises."""
    assert isinstance(error, AccessRefused)
    return Response(error.body, error.status, dict(error.headers), media_type="application/json")
