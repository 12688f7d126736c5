"""Reads the key or token of a call from its headers, or from the metadata of a gRPC call."""

from collections.abc import Iterable

from recommender_transformer.serving.access.refusals import Unauthenticated
from winnow.settings.access import MAX_CREDENTIAL_BYTES

_BEARER = (b"authorization", "authorization")
_NAMES = frozenset((*_BEARER, b"x-api-key", "x-api-key"))
_SCHEME = b"bearer "

HOW = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"


def credential_of(headers: Iterable[tuple[bytes | str, bytes | str]]) -> bytes | None:
    """The key or token of a call; `None` if it has none.

    Args:
        headers: names, in lower case, and values: bytes of HTTP, text or bytes of gRPC.

    Raises:
        Unauthenticated: there are several, or the one has another form.
    """
    found: bytes | None = None
    for name, value in headers:
        if name not in _NAMES:
            continue
        if found is not None:
            raise Unauthenticated(f"access: a call has one key or token, and this one has several: {HOW}", "malformed")
        found = value if isinstance(value, bytes) else value.encode()
        if name in _BEARER:
            if found[: len(_SCHEME)].lower() != _SCHEME:
                raise Unauthenticated(f"access: authorization: must be Bearer and a key or token: {HOW}", "malformed")
            found = found[len(_SCHEME) :]
        found = found.strip()
        if not 0 < len(found) <= MAX_CREDENTIAL_BYTES:
            what = f"a key or token has 1 to {MAX_CREDENTIAL_BYTES} bytes, and this one has {len(found)}"
            raise Unauthenticated(f"access: {what}: {HOW}", "malformed")
    return found
