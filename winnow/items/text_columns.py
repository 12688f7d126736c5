"""Columns of texts: codes of a dictionary, lists of such codes, and texts that hardly repeat as they are."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.items.column import OPERATORS, Inequality, Kind, untestable
from winnow.items.dictionary import NULL, Dictionary
from winnow.items.values import Items, Values


class TextColumn:
    """A column of texts that repeat, such as a brand.

    Args:
        codes: int32 [n + 1], the code of each item of the release, 0 for NULL; writable.
        texts: the texts by code; see :class:`winnow.items.dictionary.Dictionary`.
    """

    kind: Kind = "text"

    def __init__(self, codes: NDArray[np.int32], texts: Strings) -> None:
        self._codes: Values[np.int32] = Values(codes, np.int32(NULL))
        self._texts = Dictionary(texts)

    def value(self, index: int) -> str | None:
        """The text of an item; ``None`` for NULL."""
        code = int(self._codes.at(np.array([index]))[0])
        return self._texts.text(code) if code else None

    def put(self, index: int, value: Any) -> None:
        """Change the text of an item; of several its first counts, and an empty one is NULL."""
        text = value[0] if isinstance(value, list) and value else value
        self._codes.put(index, self._texts.code(text) if text else NULL)

    def is_null(self, items: Items) -> NDArray[np.bool_]:
        """Whether each item has no text."""
        null: NDArray[np.bool_] = self._codes.at(items) == NULL
        return null

    def among(self, items: Items, values: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each item's text is one of ``values``."""
        codes = self._codes.at(items)
        if len(values) == 1:
            code = self._texts.find(values[0])
            same: NDArray[np.bool_] = codes == code if code else np.zeros(len(codes), np.bool_)
            return same
        return _looked_up(self._texts.among(values), codes)

    def compare(self, items: Items, comparison: Inequality, value: str) -> NDArray[np.bool_]:
        """Whether each item's text compares so with ``value``, by code points."""
        codes, encoded = self._codes.at(items), value.encode()
        first, last = {
            "<": (_always, lambda text: text >= encoded),
            "<=": (_always, lambda text: text > encoded),
            ">": (lambda text: text > encoded, _never),
            ">=": (lambda text: text >= encoded, _never),
        }[comparison]
        return _looked_up(self._texts.between(first, last), codes)

    def starts(self, items: Items, prefix: str) -> NDArray[np.bool_]:
        """Whether each item's text begins with ``prefix``."""
        codes, encoded = self._codes.at(items), prefix.encode()
        range_ = self._texts.between(lambda text: text >= encoded, lambda text: text[: len(encoded)] > encoded)
        return _looked_up(range_, codes)


class ListColumn:
    """A column of lists of texts, such as tags.

    Args:
        starts: int64 [n + 2]; the codes of item ``i`` are ``codes[starts[i]:starts[i + 1]]``, the code 0 for NULL.
        codes: int32 [total].
        texts: the texts by code.
    """

    kind: Kind = "texts"

    def __init__(self, starts: NDArray[np.int64], codes: NDArray[np.int32], texts: Strings) -> None:
        self._starts, self._codes = np.asarray(starts), np.asarray(codes)
        self._texts = Dictionary(texts)
        self._changed: dict[int, tuple[int, ...]] = {}

    def value(self, index: int) -> list[str] | None:
        """The list of an item; ``None`` for NULL."""
        codes = self._of(index)
        return None if NULL in codes else [self._texts.text(code) for code in codes]

    def put(self, index: int, value: Any) -> None:
        """Change the list of an item; a single text is a list of one."""
        texts = [value] if isinstance(value, str) else value
        self._changed[index] = (NULL,) if texts is None else tuple(map(self._texts.code, texts))

    def is_null(self, items: Items) -> NDArray[np.bool_]:
        """Whether each item has no list; an empty one is a list."""
        null = np.zeros(len(self._texts), np.bool_)
        null[NULL] = True
        return self._any(items, null)

    def among(self, items: Items, values: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each item's list has one of ``values``."""
        return self._any(items, self._texts.among(values))

    def compare(self, items: Items, comparison: Inequality, value: Any) -> NDArray[np.bool_]:
        """Lists have no order."""
        raise untestable(self.kind)

    def starts(self, items: Items, prefix: str) -> NDArray[np.bool_]:
        """Lists have no prefix."""
        raise untestable(self.kind)

    def _of(self, index: int) -> tuple[int, ...]:
        changed = self._changed.get(index)
        if changed is not None:
            return changed
        if index >= len(self._starts) - 1:
            return (NULL,)
        return tuple(self._codes[self._starts[index] : self._starts[index + 1]].tolist())

    def _any(self, items: Items, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether one of each item's codes is wanted; ``wanted`` is bool [codes]."""
        if items is None:
            found = np.zeros(len(self._starts) - 1, np.bool_)
            places = np.flatnonzero(_looked_up(wanted, self._codes))
            found[np.searchsorted(self._starts, places, "right") - 1] = True
            for index, codes in list(self._changed.items()):
                if index < len(found):
                    found[index] = _one_of(wanted, codes)
            return found
        if self._changed or (items >= len(self._starts) - 1).any():
            few = (_one_of(wanted, self._of(index)) for index in items.tolist())
            return np.fromiter(few, np.bool_, len(items))
        starts = self._starts.take(items)
        lengths = self._starts.take(items + 1) - starts
        ends = lengths.cumsum()
        hits = _looked_up(wanted, self._codes[np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())])
        counted = np.concatenate([[0], hits.cumsum()])
        some: NDArray[np.bool_] = counted[ends] > counted[ends - lengths]
        return some


class LongTextColumn:
    """A column of texts that hardly repeat, such as titles, descriptions and ids. An empty text is NULL.

    Args:
        texts: those of the release's items, n + 1; that of the padding item is empty.
    """

    kind: Kind = "text"

    def __init__(self, texts: Strings) -> None:
        self._texts = texts
        self._changed: dict[int, bytes] = {}

    @property
    def texts(self) -> Strings:
        """Those of the release's items, as it was built."""
        return self._texts

    def value(self, index: int) -> str | None:
        """The text of an item; ``None`` for NULL."""
        return self._of(index).decode() or None

    def put(self, index: int, value: Any) -> None:
        """Change the text of an item."""
        self._changed[index] = b"" if value is None else value.encode()

    def is_null(self, items: Items) -> NDArray[np.bool_]:
        """Whether each item has no text."""
        _, lengths = self._spans(items)
        return self._patched(items, lengths == 0, lambda text: not text)

    def among(self, items: Items, values: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each item's text is one of ``values``."""
        wanted = {value.encode() for value in values} - {b""}
        starts, lengths = self._spans(items)
        found = np.zeros(len(starts), np.bool_)
        for length in {len(text) for text in wanted}:
            places = np.flatnonzero(lengths == length)
            of_length = np.array([text for text in wanted if len(text) == length], f"S{length}")
            for part in _parts(places, length):
                # Texts of one length: the zeros that NumPy cuts off at the end make no difference.
                read = self._texts.text[starts[part][:, None] + np.arange(length)].view(f"S{length}")[:, 0]
                found[part] = np.isin(read, of_length)
        return self._patched(items, found, lambda text: text in wanted)

    def compare(self, items: Items, comparison: Inequality, value: str) -> NDArray[np.bool_]:
        """Whether each item's text compares so with ``value``, by code points."""
        encoded = value.encode()
        order, _ = self._order(items, encoded)
        holds: NDArray[np.bool_] = OPERATORS[comparison](order, 0)
        # NULL, an empty text, is before every text.
        holds &= self._spans(items)[1] > 0
        return self._patched(items, holds, lambda text: bool(text) and OPERATORS[comparison](text, encoded))

    def starts(self, items: Items, prefix: str) -> NDArray[np.bool_]:
        """Whether each item's text begins with ``prefix``."""
        encoded = prefix.encode()
        holds = self._order(items, encoded)[1] & (self._spans(items)[1] > 0)
        return self._patched(items, holds, lambda text: bool(text) and text.startswith(encoded))

    def _of(self, index: int) -> bytes:
        changed = self._changed.get(index)
        if changed is not None:
            return changed
        return bytes(self._texts.encoded(index)) if index < len(self._texts) else b""

    def _spans(self, items: Items) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each item's text of the release begins, and its length; an added item's is empty."""
        offsets = self._texts.offsets
        if items is None:
            return offsets[:-1], np.diff(offsets)
        release = np.where(items < len(self._texts), items, 0)
        starts = offsets.take(release)
        return starts, offsets.take(release + 1) - starts

    def _order(self, items: Items, literal: bytes) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Whether each text is before (-1), equal to (0) or after (1) a literal, and whether it begins with it."""
        starts, lengths = self._spans(items)
        order = np.zeros(len(starts), np.int8)
        undecided = np.arange(len(starts))
        for place, byte in enumerate(literal):
            ended = lengths[undecided] <= place
            order[undecided[ended]] = -1
            undecided = undecided[~ended]
            read = self._texts.text[starts[undecided] + place]
            order[undecided] = np.sign(read.astype(np.int16) - byte)
            undecided = undecided[read == byte]
            if not len(undecided):
                break
        begins = np.zeros(len(starts), np.bool_)
        begins[undecided] = True
        order[undecided] = lengths[undecided] > len(literal)
        return order, begins

    def _patched(self, items: Items, found: NDArray[np.bool_], test: Any) -> NDArray[np.bool_]:
        """``found``, corrected for the items that were changed or added."""
        if not self._changed:
            return found
        if items is None:
            places = ((index, index) for index in list(self._changed) if index < len(found))
        else:
            places = ((place, index) for place, index in enumerate(items.tolist()) if index in self._changed)
        for place, index in places:
            found[place] = test(self._changed[index])
        return found


def _always(text: bytes) -> bool:
    return True


def _never(text: bytes) -> bool:
    return False


def _looked_up(wanted: NDArray[np.bool_], codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each code is wanted; of a code that another thread added meanwhile, the answer means nothing."""
    found: NDArray[np.bool_] = wanted.take(codes, mode="clip")
    return found


def _one_of(wanted: NDArray[np.bool_], codes: Sequence[int]) -> bool:
    return any(code < len(wanted) and wanted[code] for code in codes)


def _parts(places: NDArray[np.intp], length: int) -> Iterator[NDArray[np.intp]]:
    """``places`` in parts whose texts take some megabytes together."""
    step = max(1, (4 << 20) // (8 * length))
    for first in range(0, len(places), step):
        yield places[first : first + step]
