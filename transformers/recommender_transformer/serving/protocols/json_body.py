"""JSON from outside."""

import orjson

from winnow.request import InvalidRequest


def loads(text: bytes, where: str) -> object:
    """Read JSON.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{where}: must be JSON: {error}") from None
