"""Many strings as two arrays, which may be memory-mapped: no object per string, and no padding to the longest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

OFFSETS = "_offsets"
"""Ending of the name of the array of offsets."""

_AT_ONCE = 10_000
"""Strings that an iteration decodes at once."""


class Strings(Sequence[str]):
    """The UTF-8 forms of strings, one after another.

    Args:
        text: uint8 [total].
        offsets: int64 [n + 1]; string ``i`` is ``text[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        # Views without the overhead of np.memmap in every slice.
        self.text, self.offsets = np.asarray(text), np.asarray(offsets)
        self._bytes = self.text.data

    @classmethod
    def of(cls, strings: Iterable[str]) -> Strings:
        """Encode strings."""
        encoded = [string.encode() for string in strings]
        ends = np.fromiter(chain([0], map(len, encoded)), np.int64, len(encoded) + 1).cumsum()
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def save(self, folder: Path, name: str) -> None:
        """Write both arrays, as ``name.npy`` and ``name_offsets.npy``."""
        np.save(folder / f"{name}.npy", self.text, allow_pickle=False)
        np.save(folder / f"{name}{OFFSETS}.npy", self.offsets, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> Strings:
        """Map what :meth:`save` wrote into memory, read-only."""
        return cls(*(np.load(folder / f"{each}.npy", "r", allow_pickle=False) for each in (name, f"{name}{OFFSETS}")))

    def encoded(self, index: int) -> memoryview:
        """The UTF-8 form of a string."""
        return self._bytes[self.offsets[index] : self.offsets[index + 1]]

    def at(self, indices: NDArray[np.integer[Any]]) -> list[str]:
        """The strings at ``indices``, integers [k], as Python's."""
        starts, ends = self.offsets.take(indices).tolist(), self.offsets.take(indices + 1).tolist()
        return [str(self._bytes[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]

    def are(self, indices: NDArray[np.integer[Any]], candidates: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether the string of each index is the candidate at its place: bool [k].

        Args:
            indices: integers [k].
            candidates: k UTF-8 forms.
        """
        starts, ends = self.offsets.take(indices).tolist(), self.offsets.take(indices + 1).tolist()
        places = zip(starts, ends, candidates, strict=True)
        return np.fromiter((self._bytes[start:end] == each for start, end, each in places), np.bool_, len(starts))

    def tolist(self) -> list[str]:
        """All strings as Python's."""
        if not len(self):
            return []
        first = int(self.offsets[0])
        text, ends = self.text[first : self.offsets[-1]].tobytes(), (self.offsets - first).tolist()
        return [text[start:end].decode() for start, end in pairwise(ends)]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _AT_ONCE):
            yield from self[first : first + _AT_ONCE].tolist()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[np.integer[Any]]) -> Strings: ...
    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[np.integer[Any]]) -> str | Strings:
        if isinstance(index, int | np.integer):
            place = range(len(self))[int(index)]
            return bytes(self.encoded(place)).decode()
        if isinstance(index, slice):
            places = range(len(self))[index]
            if places.step == 1:
                return Strings(self.text, self.offsets[places.start : max(places.start, places.stop) + 1])
            index = np.arange(len(self))[index]
        chosen = np.arange(len(self))[index]
        lengths = self.offsets[chosen + 1] - self.offsets[chosen]
        ends = np.concatenate([[0], lengths.cumsum()])
        source = np.repeat(self.offsets[chosen] - ends[:-1], lengths) + np.arange(ends[-1])
        return Strings(self.text[source], ends)
