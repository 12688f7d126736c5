"""Parses JSON from clients."""

import orjson

from winnow.request import InvalidRequest


def loads(text: bytes, where: str) -> object:
    """Parse JSON.

    Args:
        text: the JSON document.
        where: name of the field, for the message.

    Raises:
        InvalidRequest: ``text`` is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{where}: must be JSON: {error}") from None
