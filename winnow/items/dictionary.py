"""The distinct texts of a column, numbered: a code takes 4 bytes per item, and a test of all items compares codes."""

from bisect import bisect_left
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings

NULL = 0
"""The code of no text."""


class Dictionary:
    """Texts by code. The release's are sorted and mapped; a text that a change brings gets the next code.

    Args:
        texts: the release's texts by code, ascending by their UTF-8 forms from code 1 on.
    """

    def __init__(self, texts: Strings) -> None:
        self._texts = texts
        self._added: list[bytes] = []
        self._added_codes: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._texts) + len(self._added)

    def text(self, code: int) -> str:
        """The text of a code above 0."""
        known = len(self._texts)
        return self._texts[code] if code < known else self._added[code - known].decode()

    def find(self, text: str) -> int:
        """The code of a text; 0 if no item has ever had it."""
        encoded = text.encode()
        place = self._first(lambda known: known >= encoded)
        if place < len(self._texts) and self._texts.encoded(place) == encoded:
            return place
        return self._added_codes.get(encoded, NULL)

    def code(self, text: str) -> int:
        """The code of a text, which gets one if it has none."""
        found = self.find(text)
        if not found:
            encoded = text.encode()
            found = len(self)
            # Another thread that reads a code finds its text.
            self._added.append(encoded)
            self._added_codes[encoded] = found
        return found

    def among(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Whether each code is that of one of ``texts``: bool [codes]."""
        found = np.zeros(len(self), np.bool_)
        found[[self.find(text) for text in texts]] = True
        found[NULL] = False
        return found

    def between(self, beyond: Callable[[bytes], bool], past: Callable[[bytes], bool]) -> NDArray[np.bool_]:
        """Whether the text of each code lies in a range: bool [codes].

        Args:
            beyond: whether a text is not before the range; true for all texts after one for which it is.
            past: whether a text is after the range; likewise.
        """
        found = np.zeros(len(self), np.bool_)
        found[self._first(beyond) : self._first(past)] = True
        known = len(self._texts)
        for place, text in enumerate(self._added[: len(found) - known]):
            found[known + place] = beyond(text) and not past(text)
        return found

    def _first(self, condition: Callable[[bytes], bool]) -> int:
        """The lowest code of the release whose text fulfils a condition, by a binary search."""
        return bisect_left(
            range(len(self._texts)), True, 1, key=lambda code: condition(bytes(self._texts.encoded(code)))
        )
