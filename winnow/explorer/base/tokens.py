"""Tokens against cross-site request forgery: each is an HMAC of a random cookie that other sites cannot read."""

import hmac
import re
import secrets
from hashlib import sha256

COOKIE = "winnow_explorer"
FIELD = "csrf"
"""Name of the form field; htmx sends the same token as the header :data:`HEADER`."""
HEADER = "x-csrf-token"
"""Name of the header."""

_SEED = re.compile(r"[0-9a-f]{64}")


class Tokens:
    """Issues and checks tokens; a restart of the process makes earlier ones invalid."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def seed(self, cookie: str | None) -> tuple[str, bool]:
        """The random value of a visitor's cookie, and whether it is new and must be sent."""
        if cookie is not None and _SEED.fullmatch(cookie):
            return cookie, False
        return secrets.token_hex(32), True

    def token(self, seed: str) -> str:
        """The token that belongs to a cookie."""
        return hmac.new(self._key, seed.encode(), sha256).hexdigest()

    def holds(self, cookie: str | None, token: str) -> bool:
        """Whether a token belongs to a cookie."""
        return cookie is not None and hmac.compare_digest(self.token(cookie).encode(), token.encode())
