"""Who may call the endpoint: the access file, with API keys, JWT settings and the scopes that need neither.

A key is 256 random bits, so its SHA-256 digest is enough to recognise it and useless to anyone who reads the file; the
slow hashes that passwords need would cost milliseconds per request. ``--access-file`` names a file, or a folder whose
``*.yaml`` are one file in several parts: on a cluster the scopes come from a ConfigMap, and the keys from a Secret.
"""

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from winnow import moments
from winnow.settings.file import SettingsError, load

Scope = Literal["recommend", "events", "catalog", "admin"]
"""What a caller may do: ask for recommendations; send events; write and read items and users' attributes; erase and
merge users and change rules. None of them includes another."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a private key, which the server never sees. With a shared secret (HS256) whoever can check a token can
also make one."""

MOST_KEYS = 256
MAX_CREDENTIAL_BYTES = 8192
"""Of a key or token in a request."""

_PREFIX = "winnow_"
_HASH = "sha256:"
_RATE = r"^[1-9]\d{0,6}/(s|min)$"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Limit(NamedTuple):
    """A token bucket.

    Attributes:
        per_second: calls a second that may go on for ever.
        burst: calls at once after a pause.
    """

    per_second: float
    burst: int


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Limited(_Section):
    rate: Annotated[str, StringConstraints(pattern=_RATE)] | None = None
    burst: int | None = Field(default=None, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _burst_of_a_rate(self) -> "_Limited":
        if self.burst is not None and self.rate is None:
            raise ValueError("burst: belongs to a rate, such as rate: 100/s")
        return self

    @property
    def limit(self) -> Limit | None:
        """The bucket; without a ``burst`` it holds what one second brings. `None` without a rate."""
        if self.rate is None:
            return None
        count, _, unit = self.rate.partition("/")
        per_second = int(count) / (1 if unit == "s" else 60)
        return Limit(per_second, self.burst or max(1, math.ceil(per_second)))


class KeyEntry(_Limited):
    """One API key.

    Attributes:
        name: who has it; shown in metrics.
        hash: ``sha256:`` and the digest of the key in hexadecimal.
        scopes: what it may do.
        expires: a date, or a date and time, from which it is refused.
        rate: calls per second or minute: ``100/s``, ``600/min``; without it as many as the server can take.
        burst: calls at once; without it what one second brings.
    """

    name: Name
    hash: str
    scopes: tuple[Scope, ...] = Field(min_length=1)
    expires: str | None = None

    @field_validator("hash")
    @classmethod
    def _is_digest(cls, given: str) -> str:
        digits = given.removeprefix(_HASH)
        if not given.startswith(_HASH) or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise ValueError(f"must be {_HASH} and 64 hexadecimal digits; the key itself does not belong in the file")
        return given

    @field_validator("expires")
    @classmethod
    def _moment(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                moments.parse(given)
            except ValueError:
                raise ValueError("must be a date as 2027-01-31, or a date and time as 2027-01-31T12:00:00Z") from None
        return given

    @property
    def expires_at(self) -> float:
        """When it expires, seconds since the epoch; infinity for never."""
        return math.inf if self.expires is None else moments.parse(self.expires) / 1000

    @property
    def digest(self) -> bytes:
        """The digest, as :func:`digest_of` makes it."""
        return bytes.fromhex(self.hash.removeprefix(_HASH))


class JwtSettings(_Limited):
    """Tokens of an identity provider.

    Attributes:
        issuer: their ``iss``.
        audience: one of their ``aud``.
        jwks: JSON file with the provider's public keys (RFC 7517), relative to this file. Never fetched from a URL.
        algorithms: the accepted signatures.
        leeway_s: seconds by which the provider's clock may differ.
        rate: calls per second or minute of one subject (``sub``).
        burst: calls at once of one subject.
    """

    issuer: Text
    audience: Text
    jwks: Text
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256", "EdDSA"), min_length=1)
    leeway_s: float = Field(default=30.0, ge=0, le=300)


class AccessFile(_Section):
    """The content of the file.

    Attributes:
        keys: the API keys.
        jwt: whose tokens are accepted; `None` for no one's.
        open: scopes that need no key. Only these two: with the others open, leave out ``--access-file``.
    """

    keys: tuple[KeyEntry, ...] = ()
    jwt: JwtSettings | None = None
    open: tuple[Literal["recommend", "events"], ...] = ()


def new_key() -> str:
    """A new random key."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(credential: bytes) -> bytes:
    """What is compared in place of a key."""
    return hashlib.sha256(credential).digest()


def hash_of(key: str) -> str:
    """The ``hash`` of a key."""
    return _HASH + digest_of(key.encode()).hex()


def files_of(path: Path) -> list[Path]:
    """The file, or the parts in a folder; a mounted Secret also has hidden ones, which are not meant."""
    if not path.is_dir():
        return [path]
    return sorted(part for part in path.glob("*.yaml") if not part.name.startswith("."))


def read(path: Path) -> AccessFile:
    """Read the file of ``--access-file``, or the parts in a folder.

    Raises:
        SettingsError: a part is wrong, two keys have a name or a hash in common, or nothing is declared. The message
            quotes no key.
    """
    parts = [_read(part) for part in files_of(path)]
    keys = [key for part in parts for key in part.keys]
    tokens = [part.jwt for part in parts if part.jwt is not None]
    _each_once(path, "name", (key.name for key in keys))
    _each_once(path, "hash", (key.hash for key in keys), names=[key.name for key in keys])
    if len(keys) > MOST_KEYS:
        raise SettingsError(f"{path}: declares {len(keys)} keys; the most are {MOST_KEYS}")
    if len(tokens) > 1:
        raise SettingsError(f"{path}: declares jwt in {len(tokens)} files; declare it in one")
    found = AccessFile.model_construct(
        keys=tuple(keys),
        jwt=tokens[0] if tokens else None,
        open=tuple(dict.fromkeys(scope for part in parts for scope in part.open)),
    )
    if not (found.keys or found.jwt or found.open):
        what = f"has no *.yaml that declares {_DECLARED}" if path.is_dir() else f"declares none of {_DECLARED}"
        raise SettingsError(f"{path}: {what}: every call would be refused")
    return found


_DECLARED = "keys, jwt and open"


def _read(path: Path) -> AccessFile:
    found = load(AccessFile, path, quotes=False)
    if found.jwt is None:
        return found
    return found.model_copy(update={"jwt": found.jwt.model_copy(update={"jwks": str(path.parent / found.jwt.jwks)})})


def _each_once(path: Path, what: str, values: Iterable[str], names: Sequence[Any] | None = None) -> None:
    given = list(values)
    for value, count in Counter(given).items():
        if count > 1:
            shown = value if names is None else " and ".join(n for n, v in zip(names, given, strict=True) if v == value)
            raise SettingsError(f"{path}: {count} keys have the same {what}: {shown}")
