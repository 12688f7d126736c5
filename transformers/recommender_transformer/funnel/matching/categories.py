"""Codes of the categories that a request names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.request import InvalidRequest, RecommendRequest, quote


class CategoryCodes:
    """Looks up the category filter of a request in the release's vocabulary.

    Args:
        vocabulary: the category vocabulary; the code of a category is its position, and code 0 means none.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._codes = {name: code for code, name in enumerate(vocabulary) if code}

    def codes(self, request: RecommendRequest, where: str) -> NDArray[np.int32] | None:
        """int32 codes of ``filters.categories``; `None` if the request has no category filter.

        Args:
            request: the validated request.
            where: path of the request in its call, for the message.

        Raises:
            InvalidRequest: a category is not in the vocabulary; the message names the field.
        """
        names = request.filters.categories
        if names is None:
            return None
        for position, name in enumerate(names):
            if name not in self._codes:
                raise InvalidRequest(
                    f"{where}.filters.categories[{position}]: must be a category of the catalog, got {quote(name)}"
                )
        return np.array([self._codes[name] for name in names], dtype=np.int32)
