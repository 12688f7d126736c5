"""Checks JSON Web Tokens against the public keys in a file.

What a token says about keys is not followed: neither ``jku`` nor ``x5u`` nor ``jwk``; its ``kid`` chooses among the
keys of the file, and its ``alg`` must be a listed one and that of the key.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from jwt import PyJWK

from recommender_transformer.serving.access.refusals import Unauthenticated
from winnow.settings.access import SCOPES, JwtSettings
from winnow.settings.file import SettingsError

_MAX_JWKS_BYTES = 256 * 2**10
_MAX_SUBJECT = 256
_PRIVATE = frozenset(("d", "k"))
"""Parameters of a private or shared key (RFC 7518)."""


@dataclass(frozen=True)
class Token:
    """A verified token.

    Attributes:
        subject: its ``sub``.
        scopes: the scopes that Winnow knows.
        until: when it is refused, seconds since the epoch.
    """

    subject: str
    scopes: frozenset[str]
    until: float


class Tokens:
    """Verifies tokens.

    Args:
        settings: issuer, audience, keys and algorithms.

    Raises:
        SettingsError: the file of keys is wrong.
    """

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._keys = _keys(Path(settings.jwks), settings.algorithms)

    def verify(self, credential: bytes) -> Token:
        """Decode a token.

        Raises:
            Unauthenticated: it is not a valid one.
        """
        settings = self._settings
        try:
            claims: dict[str, Any] = jwt.decode(
                credential,
                self._key(jwt.get_unverified_header(credential).get("kid")),
                algorithms=settings.algorithms,
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            subject, until = claims["sub"], float(claims["exp"]) + settings.leeway_s
        except jwt.ExpiredSignatureError:
            raise expired() from None
        except jwt.ImmatureSignatureError:
            raise Unauthenticated("access: this token is not valid yet: check the issuer's clock", "wrong") from None
        except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
            where = "issuer and audience must be those of this server's access file"
            raise Unauthenticated(f"access: this token is not for this server: its {where}", "wrong") from None
        except Exception:
            # Whatever goes wrong with an untrusted token refuses it.
            raise Unauthenticated(
                "access: this token is not valid: get one from the issuer of this server's access file", "wrong"
            ) from None
        if not 0 < len(subject) <= _MAX_SUBJECT:
            raise Unauthenticated(f"access: this token's sub must have 1 to {_MAX_SUBJECT} characters", "wrong")
        return Token(subject, _scopes(claims), until)

    def _key(self, kid: object) -> PyJWK:
        """The key that a token names; where the file has one only, tokens need not name it."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys[str(kid)]


def expired() -> Unauthenticated:
    """The refusal of a token that was valid."""
    return Unauthenticated("access: this token has expired: get a new one from its issuer", "expired")


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """The claim ``scope`` (RFC 8693, a text) or ``scp`` (a list or a text); other words are other services'."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    return frozenset(scope for scope in SCOPES if scope in words)


def _keys(path: Path, algorithms: Collection[str]) -> dict[str, PyJWK]:
    """The keys of a file, by ``kid``; a key without one has its position.

    Raises:
        SettingsError: the file is wrong; the message quotes nothing of it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_JWKS_BYTES + 1)
        if len(content) > _MAX_JWKS_BYTES:
            raise SettingsError(f"{path}: has more than {_MAX_JWKS_BYTES:,} bytes, the most that a key set may have")
        given = json.loads(content)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        raise SettingsError(f"{path}: is not JSON: it must be a JSON Web Key Set") from None
    listed = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(listed, list) or not listed:
        raise SettingsError(f'{path}: must be a JSON Web Key Set, an object with a list "keys"')
    keys: dict[str, PyJWK] = {}
    for position, one in enumerate(listed):
        where = f"{path}: keys[{position}]"
        if not isinstance(one, dict) or _PRIVATE & set(one):
            raise SettingsError(f"{where}: must be a public key; private and shared keys do not belong here")
        if one.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(one)
        except Exception:
            raise SettingsError(f"{where}: is not a key that can be read") from None
        if key.algorithm_name not in algorithms:
            listing = ", ".join(algorithms)
            raise SettingsError(f"{where}: is for {key.algorithm_name}, but jwt.algorithms lists {listing}")
        if weak := key.Algorithm.check_key_length(key.key):
            raise SettingsError(f"{where}: is too short: {weak}")
        name = str(one.get("kid", position))
        if name in keys:
            raise SettingsError(f"{where}: has the kid of another key")
        keys[name] = key
    if not keys:
        raise SettingsError(f"{path}: has no key for signatures")
    return keys
