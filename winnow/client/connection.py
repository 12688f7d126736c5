"""How both clients reach the endpoint: retries, credentials, time-outs, and reading a response."""

from typing import Any, TypeVar

import httpx
import orjson
from httpx_retries import Retry, RetryTransport

from winnow.client.calls import Call
from winnow.client.errors import check

T = TypeVar("T")

URL = "http://localhost:8080"
TIMEOUT_S = 10.0
RETRIES = 3

_BACKOFF_S = 0.1
_LONGEST_WAIT_S = 5.0
_BUSY = (429, 503)
"""The endpoint answers these before it does anything, or where a repetition is safe. Nothing else is repeated: a call
without a response may have been carried out."""


def settings(url: str, api_key: str | None, timeout_s: float, retries: int) -> dict[str, Any]:
    """The arguments of ``httpx.Client`` and ``httpx.AsyncClient``.

    Args:
        url: address of the endpoint.
        api_key: an API key or a JSON Web Token; ``None`` for an endpoint without access control.
        timeout_s: time-out of each attempt.
        retries: attempts after the first.
    """
    retry = Retry(
        total=retries,
        allowed_methods=["POST", "GET"],
        status_forcelist=_BUSY,
        retry_on_exceptions=(),
        backoff_factor=_BACKOFF_S,
        max_backoff_wait=_LONGEST_WAIT_S,
    )
    return {
        "base_url": url,
        "headers": {"authorization": f"Bearer {api_key}"} if api_key else {},
        "timeout": timeout_s,
        "transport": RetryTransport(retry=retry),
    }


def result(call: Call[T], response: httpx.Response) -> T:
    """What a call returned.

    Raises:
        EndpointError: the endpoint refused it.
    """
    check(response)
    # An answer with its trace is near a megabyte, which orjson reads in a quarter of the time.
    return call.read(orjson.loads(response.content)["predictions"])
