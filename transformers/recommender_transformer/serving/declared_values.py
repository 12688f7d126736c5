"""Values of declared columns, as callers of the ``items`` and ``users`` models send them."""

import math
from collections.abc import Collection
from typing import Protocol

from winnow.request import InvalidRequest, quote

_MAX_VALUES = 100
_MAX_CHARACTERS = 1000


class DeclaredColumns(Protocol):
    """The columns that the data set declares, by kind."""

    @property
    def categorical(self) -> Collection[str]:
        """Names of the columns with texts."""

    @property
    def numeric(self) -> Collection[str]:
        """Names of the columns with numbers."""


def declared_value(
    name: str, value: object, columns: DeclaredColumns, of: str, where: str
) -> str | list[str] | float | None:
    """Check the value of a declared column.

    Args:
        name: the column.
        value: what the caller sent; ``None`` clears the column.
        columns: the declared columns.
        of: what has these columns, for the message: ``items`` or ``users``.
        where: path of the columns in the call, for the message.

    Raises:
        InvalidRequest: there is no such column, or the value is of another kind or too long.
    """
    field = f"{where}.{quote(name)[1:-1]}"
    if name in columns.categorical:
        return _texts(value, field)
    if name in columns.numeric:
        return _number(value, field)
    declared = ", ".join((*columns.categorical, *columns.numeric)) or "none"
    raise InvalidRequest(f"{field}: is not a declared column of {of}; the release has {declared}")


def _texts(value: object, field: str) -> str | list[str] | None:
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    texts = [one for one in values if isinstance(one, str) and len(one) <= _MAX_CHARACTERS]
    if len(texts) < len(values) or len(values) > _MAX_VALUES:
        raise InvalidRequest(
            f"{field}: must be a string of at most {_MAX_CHARACTERS} characters, a list of at most {_MAX_VALUES} of "
            f"them, or null, got {quote(value)}"
        )
    return texts if isinstance(value, list) else texts[0]


def _number(value: object, field: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise InvalidRequest(f"{field}: must be a finite number or null, got {quote(value)}")
    return float(value)
