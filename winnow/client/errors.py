"""The errors of a client, by the status of the response."""

import httpx

from winnow.errors import WinnowError


class EndpointError(WinnowError):
    """The endpoint refused a call.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class InvalidCall(EndpointError):
    """400 and 422: the call violates the contract; the message names the field. Sending it again does not help."""


class NotAuthenticated(EndpointError):
    """401: the key or token is missing, wrong or expired."""


class NotAllowed(EndpointError):
    """403: the key or token lacks the scope of the call."""


class TooManyCalls(EndpointError):
    """429: a rate limit is exceeded or the event stream is full, after all retries."""


class Unavailable(EndpointError):
    """503: the endpoint is overloaded, starting or shutting down, after all retries."""


class NoAnswer(WinnowError):
    """The endpoint cannot be reached, or did not answer in time. It may have carried out the call."""


_BY_STATUS = {
    400: InvalidCall,
    401: NotAuthenticated,
    403: NotAllowed,
    422: InvalidCall,
    429: TooManyCalls,
    503: Unavailable,
}


def check(response: httpx.Response) -> None:
    """Raise the error of a response.

    Raises:
        EndpointError: the status is not 2xx; the message is the server's.
    """
    if response.is_success:
        return
    try:
        message = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200] or response.reason_phrase
    kind = _BY_STATUS.get(response.status_code, EndpointError)
    raise kind(f"{response.status_code}: {message}", response.status_code)


def unreachable(error: httpx.HTTPError, url: httpx.URL) -> NoAnswer:
    """The error for a call without a response."""
    return NoAnswer(f"no answer from {url}: {error or type(error).__name__}")
