"""The rules of one version of the access file: which credential is whose."""

import hmac
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from recommender_transformer.serving.access.caller import COUNTED, Caller
from recommender_transformer.serving.access.credentials import HOW
from recommender_transformer.serving.access.limits import Bucket, Limits
from recommender_transformer.serving.access.refusals import Unauthenticated
from recommender_transformer.serving.access.tokens import Token, Tokens, expired
from winnow.settings.access import AccessFile, KeyEntry, digest_of, files_of, read

MOST_HELD = 4096
"""Verified tokens that a process holds, by their digests; a signature costs as much as the rest of a small request."""

_TOKENS = "(jwt)"
"""Label of all tokens in metrics: a subject may be a person."""


@dataclass(frozen=True)
class Known:
    """A caller, and what is needed to admit a call.

    Attributes:
        caller: the caller.
        granted: the counter of admitted calls.
        bucket: of the caller's rate limit; `None` without one.
        until: when the key or token expires, seconds since the epoch.
        digest: of the key; empty for others.
    """

    caller: Caller
    granted: Any
    bucket: Bucket | None
    until: float
    digest: bytes = b""


class Rules(NamedTuple):
    """What the files say.

    Attributes:
        file: the access file.
        tokens: verifies the tokens of its ``jwt``; `None` without that.
    """

    file: AccessFile
    tokens: Tokens | None


def rules_of(path: Path) -> Rules:
    """Read the file of ``--access-file``, or the parts in a folder, and the keys of tokens.

    Raises:
        SettingsError: a file is wrong.
    """
    file = read(path)
    return Rules(file, None if file.jwt is None else Tokens(file.jwt))


class Policy:
    """Recognises callers.

    Args:
        rules: what the files say.
        limits: gives the buckets.

    Attributes:
        anyone: the caller of a call without a key or token.
        jwks: the file of the keys of tokens; `None` without one.
    """

    def __init__(self, rules: Rules, limits: Limits) -> None:
        file = rules.file
        self._limits = limits
        self._keys = {entry.digest: _known(entry, limits) for entry in file.keys}
        self._held: dict[bytes, Known] = {}
        self._token_limit = None if file.jwt is None else file.jwt.limit
        self._tokens, self._token_granted = rules.tokens, COUNTED.labels(_TOKENS, "granted")
        anonymous = Caller("", frozenset(file.open))
        self.anyone = Known(anonymous, COUNTED.labels(anonymous.label, "granted"), None, 0.0)
        self._has_credentials = bool(file.keys or file.jwt)
        self.jwks = None if file.jwt is None else file.jwt.jwks

    def caller_of(self, credential: bytes) -> Known:
        """Who sends a key or token.

        Raises:
            Unauthenticated: no one that the file knows.
        """
        digest = digest_of(credential)
        known = self._keys.get(digest)
        if known is not None and hmac.compare_digest(known.digest, digest):
            if time() >= known.until:
                raise Unauthenticated("access: this key has expired: ask for a new one", "expired")
            return known
        if (known := self._held.get(digest)) is not None:
            if time() >= known.until:
                raise expired()
            return known
        if self._tokens is not None and credential.count(b".") == 2:
            known = self._known(self._tokens.verify(credential))
            if len(self._held) >= MOST_HELD:
                del self._held[next(iter(self._held))]
            self._held[digest] = known
            return known
        raise Unauthenticated("access: this key is not known here: check it, or ask for a new one", "wrong")

    def _known(self, token: Token) -> Known:
        bucket = None
        if self._token_limit is not None:
            bucket = self._limits.bucket(f"jwt:{token.subject}", self._token_limit)
        caller = Caller(token.subject, token.scopes, _TOKENS, "this token")
        return Known(caller, self._token_granted, bucket, token.until)

    def missing(self) -> Unauthenticated:
        """The refusal of a call without a key or token that needs one."""
        if not self._has_credentials:
            return Unauthenticated("access: this call needs a key, and this server has none yet: add one", "missing")
        return Unauthenticated(f"access: this call needs a key or token: {HOW}", "missing")


def version_of(path: Path, jwks: str | None) -> tuple[object, ...]:
    """Changes when a file that :class:`Policy` reads does; a mounted Secret changes by the target of a link.

    Args:
        path: the file of ``--access-file``, or a folder of its parts.
        jwks: the file of the keys of tokens.
    """
    found: list[object] = []
    for each in (*files_of(path), *([Path(jwks)] if jwks else [])):
        try:
            status = each.stat()
            found.append((each, status.st_mtime_ns, status.st_ino, status.st_size))
        except OSError:
            found.append((each, None))
    return tuple(found)


def _known(entry: KeyEntry, limits: Limits) -> Known:
    caller = Caller(entry.name, frozenset(entry.scopes), entry.name, f"the key {entry.name}")
    bucket = None if entry.limit is None else limits.bucket(f"key:{entry.name}", entry.limit)
    return Known(caller, COUNTED.labels(entry.name, "granted"), bucket, entry.expires_at, entry.digest)
