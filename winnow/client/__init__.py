"""Clients of a Winnow endpoint: :class:`Winnow` and, for asyncio, :class:`AsyncWinnow`."""

from winnow.client.asynchronous import AsyncWinnow
from winnow.client.errors import (
    EndpointError,
    InvalidCall,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    TooManyCalls,
    Unavailable,
)
from winnow.client.sync import Winnow

__all__ = [
    "AsyncWinnow",
    "EndpointError",
    "InvalidCall",
    "NoAnswer",
    "NotAllowed",
    "NotAuthenticated",
    "TooManyCalls",
    "Unavailable",
    "Winnow",
]
