"""Answers and uploaded files that later requests of the same visitor name, held in memory within bounds.

A click on a stage of the funnel must show the answer on the page, not ask again: another request would be logged as
another impression, and may have another answer.
"""

import hashlib
import zlib
from typing import Any

import orjson

from winnow.explorer.base.media import type_of
from winnow.items.media import Kind

_ANSWERS_BYTES = 16 << 20
_MEDIA_BYTES = 24 << 20
KEY = 32
"""Characters of a key."""


class _Held:
    """Bytes by key, the latest used ones up to a bound."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._content: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self.pop(key)
        self._content[key] = content
        self._size += len(content)
        while self._size > self._most:
            self.pop(next(iter(self._content)))

    def get(self, key: str) -> bytes | None:
        content = self._content.pop(key, None)
        if content is not None:
            self._content[key] = content
        return content

    def pop(self, key: str) -> None:
        self._size -= len(self._content.pop(key, b""))


class HeldAnswers:
    """Answers by the first part of their ``recommendation_id``."""

    def __init__(self) -> None:
        self._held = _Held(_ANSWERS_BYTES)

    def put(self, answer: dict[str, Any]) -> str:
        """Hold an answer; returns its key."""
        key = hashlib.sha256(str(answer["recommendation_id"]).encode()).hexdigest()[:KEY]
        self._held.put(key, zlib.compress(orjson.dumps(answer), 1))
        return key

    def has(self, key: str) -> bool:
        """Whether an answer is held."""
        return self._held.get(key) is not None

    def get(self, key: str) -> dict[str, Any] | None:
        """An answer; ``None`` for one that is no longer held."""
        packed = self._held.get(key)
        return None if packed is None else dict(orjson.loads(zlib.decompress(packed)))


class HeldMedia:
    """Uploaded pictures and sounds by a digest of their content, after ``image-`` or ``sound-``."""

    def __init__(self) -> None:
        self._held = _Held(_MEDIA_BYTES)

    def put(self, content: bytes) -> str | None:
        """Hold a file; returns its key, or ``None`` where it is neither a picture nor a sound."""
        kind: Kind
        for kind in ("image", "sound"):
            if type_of(kind, content) is not None:
                key = f"{kind}-{hashlib.sha256(content).hexdigest()[:KEY]}"
                self._held.put(key, content)
                return key
        return None

    def get(self, key: str) -> tuple[Kind, bytes] | None:
        """A file; ``None`` for one that is no longer held."""
        content = self._held.get(key)
        if content is None:
            return None
        return ("image" if key.startswith("image-") else "sound"), content
