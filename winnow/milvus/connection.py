"""Clients of Milvus. The address is ``MILVUS_URL``, the token ``MILVUS_TOKEN``; an address holds no secret."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from winnow.errors import WinnowError

if TYPE_CHECKING:
    from pymilvus import AsyncMilvusClient, MilvusClient

URL = "MILVUS_URL"
"""Name of the environment variable with the address: ``http://HOST:PORT``, or ``https://`` for TLS."""

TOKEN = "MILVUS_TOKEN"  # noqa: S105 (a name)
"""Name of the environment variable with the token, ``USER:PASSWORD`` or an API key; unset without authentication."""

ANSWER_S = 10.0
"""Time-out of a call that publishes or compares; requests set shorter deadlines of their own."""

_GRPC = {"grpc.keepalive_permit_without_calls": 0}
"""An idle connection sends no pings. pymilvus would send one every ten seconds, which a gRPC server answers by closing
the connection ("too many pings"), and a call that is just being sent fails."""

_ADDRESS = re.compile(r"https?://[\w.-]+:\d{1,5}/?", re.ASCII)


def address() -> str:
    """The address of Milvus from the environment.

    Raises:
        WinnowError: there is none, it is invalid, or pymilvus is not installed.
    """
    _imported()
    given = os.environ.get(URL, "")
    if not given:
        raise WinnowError(f"this release's items are in Milvus: set {URL} to its address, http://HOST:PORT")
    if not _ADDRESS.fullmatch(given):
        # Not shown: someone may have written a password into it.
        raise WinnowError(f"{URL} must be http://HOST:PORT or https://HOST:PORT; a user and password go into {TOKEN}")
    return given


@contextmanager
def connect(url: str) -> Iterator["MilvusClient"]:
    """A client, closed at the end; an error of Milvus inside the block becomes a :class:`winnow.errors.WinnowError`.

    Args:
        url: address of Milvus.

    Raises:
        WinnowError: pymilvus is not installed, Milvus does not answer, or a call failed.
    """
    pymilvus = _imported()
    client = None
    try:
        client = pymilvus.MilvusClient(uri=url, token=os.environ.get(TOKEN, ""), timeout=ANSWER_S, grpc_options=_GRPC)
        yield client
    except pymilvus.MilvusException as error:
        raise WinnowError(
            f"Milvus at {url} failed: {error.message}; check that it runs, and {URL} and {TOKEN}"
        ) from error
    finally:
        if client is not None:
            client.close()


def connect_async(url: str) -> "AsyncMilvusClient":
    """A client for an event loop, which connects with its first call.

    Args:
        url: address of Milvus.

    Raises:
        WinnowError: pymilvus is not installed.
    """
    return _imported().AsyncMilvusClient(uri=url, token=os.environ.get(TOKEN, ""), grpc_options=_GRPC)


def _imported() -> Any:
    try:
        import pymilvus
    except ImportError:
        raise WinnowError(
            "this release's items are in Milvus, and the package pymilvus is missing: install the extra milvus "
            "(`pip install 'winnow[milvus]'`)"
        ) from None
    # It logs every failure with its traceback, also those that the caller handles, such as a server that is away.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus
