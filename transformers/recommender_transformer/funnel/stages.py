"""The stages of the funnel: one small Protocol each.

A component is one file in the folder named after its stage. It does its work and lets errors out; when it is late or
fails, the runner takes what its ``fallback`` gives and says so in the answer. Filters, orderers and side effects touch
no network, so they have none. A source or scorer that has nothing to say to a request says so in ``wanted``, and costs
it no turn.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList
from winnow.request import Answer, RecommendRequest


class QueryHydrator(Protocol):
    """Finds out more about the one who asks."""

    name: str

    async def hydrate(self, query: Query) -> None:
        """Set what was found out on ``query``."""

    def fallback(self, query: Query) -> None:
        """Set what holds when nothing could be found out."""


class Source(Protocol):
    """Names candidates.

    Attributes:
        needs: names of the sources whose answer it works from. It takes its turn after them; where one of them is late,
            down or not wanted, its fallback stands in, which is no fault of its own.
    """

    name: str
    needs: tuple[str, ...]

    def enabled(self, query: Query) -> bool:
        """Whether it can have anything to say."""

    async def find(self, query: Query) -> SourceList:
        """Item indices, best first, each once."""

    def fallback(self, query: Query) -> SourceList:
        """What it names when it cannot look."""


class ItemHydrator(Protocol):
    """Finds out more about the candidates."""

    name: str

    async def hydrate(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """Fill ``candidates.rows``; false for each candidate of which nothing is known."""

    def fallback(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """The same from what is at hand."""


class Filter(Protocol):
    """Decides which candidates stay.

    Attributes:
        relaxable: whether a candidate that it alone would remove is better than a short answer.
    """

    name: str
    relaxable: bool

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for each candidate that stays."""

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Why it removed each of these, in words; only a trace asks."""


class Scorer(Protocol):
    """Judges the candidates."""

    name: str

    def enabled(self, query: Query) -> bool:
        """Whether its judgement counts."""

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Set ``candidates.score`` (and ``probabilities``)."""

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """Set ``candidates.score`` without judging."""


class Orderer(Protocol):
    """Arranges the candidates."""

    name: str

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates, best first; given candidates in descending order of score."""


class SideEffect(Protocol):
    """Acts on an answer that is on its way; must not wait."""

    name: str

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Take note; ``shown`` are the items of the answer, in its order."""

    async def flush(self) -> None:
        """Finish what was noted; called when no more answers come."""


class Admission(Protocol):
    """Decides whether a request can be answered at all."""

    def codes(self, request: RecommendRequest, where: str) -> NDArray[np.int32] | None:
        """Codes of the categories to stay within; None for all.

        Raises:
            InvalidRequest: it asks for what this release does not have; the message names the field, after ``where``.
        """


class Reserve(Protocol):
    """Fills an answer when the sources have run out."""

    name: str

    def items(self, query: Query) -> NDArray[np.int32]:
        """Item indices, best first."""
