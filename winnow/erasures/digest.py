"""The keyed digest that stands for an erased user.

What remembers an erasure must recognise the user and must not name them. With a secret in :data:`VARIABLE`, the same
for the transformer, the sidecar, the commands and the builds, nobody without it can compute a digest. Without one the
key is public: who guesses an id can confirm it.
"""

import os
from functools import lru_cache
from hashlib import blake2b

VARIABLE = "WINNOW_ERASURE_KEY"
"""The environment variable of the secret."""

_PUBLIC = b"winnow"


def digest(user_id: str) -> str:
    """The digest of an id: 32 hexadecimal digits."""
    return blake2b(user_id.encode(), digest_size=16, key=_key(os.environ.get(VARIABLE, ""))).hexdigest()


def key_id() -> str:
    """Tells keys apart without telling the key: 8 hexadecimal digits."""
    return blake2b(b"id of the key", digest_size=4, key=_key(os.environ.get(VARIABLE, ""))).hexdigest()


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return blake2b(secret.encode(), digest_size=32).digest() if secret else _PUBLIC
