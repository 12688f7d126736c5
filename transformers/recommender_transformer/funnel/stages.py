"""The stages of the funnel, in the order in which they run: one small protocol each.

A component implements one of these protocols, in a file of its own in the folder named after its stage, and is listed
in ``recommender_transformer/pipeline.py``. Every component has a ``name``, unique in the pipeline: answers, traces,
metrics and logs use it.

A stage that may wait for another process is declared as ``T | Coroutine[..., T]``: a component that never waits has a
plain ``def``, one that always does an ``async def``, and one that seldom does a plain ``def`` that then returns a
coroutine. A result that is there costs neither task nor timer.

Components raise on failure. Those that wait for another process have a ``fallback``, which must return at once without
I/O: ``funnel.fallbacks`` calls it when the component raises, is late or is not called because its circuit breaker is
open, and names the component in the answer's ``degraded``. Filters, orderers and side effects do no I/O in the request.
"""

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList
from winnow.request import Answer, Reason

T = TypeVar("T")

Result: TypeAlias = Coroutine[Any, Any, T] | T
"""What a component returns: the result, or a coroutine that waits for it."""


class QueryHydrator(Protocol):
    """Stage 1: reads what is known about the user, the weights in force and the items that match, one by one."""

    name: str

    def enabled(self, query: Query) -> bool:
        """Whether the hydrator applies to the query; it is skipped otherwise."""

    def hydrate(self, query: Query) -> Result[None]:
        """Set attributes of ``query.user`` or ``query.matching``, or ``query.weights``."""

    def fallback(self, query: Query) -> None:
        """Set the same attributes without I/O."""


class Source(Protocol):
    """Stage 2: proposes candidates. Those with an ``async def`` run concurrently; the others run while those wait.

    Attributes:
        needs: names of sources that must answer first, because this one reads their results. If one of them fails, is
            late or is not enabled, this source's fallback is used.
    """

    name: str
    needs: tuple[str, ...]

    def enabled(self, query: Query) -> bool:
        """Whether the source applies to the query; it is skipped otherwise."""

    def find(self, query: Query) -> Result[SourceList]:
        """Distinct item indices, best first, with their scores."""

    def fallback(self, query: Query) -> SourceList:
        """The same without I/O; may be empty."""


class ItemHydrator(Protocol):
    """Stage 3: reads the candidates' features. Item hydrators run one after the other."""

    name: str

    def hydrate(self, query: Query, candidates: Candidates) -> Result[NDArray[np.bool_]]:
        """Set ``candidates.rows``; bool [n], false for candidates without a row, which are removed."""

    def fallback(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """The same without I/O."""


class Filter(Protocol):
    """Stage 4: removes candidates. Every filter sees all candidates, hydrated, and may set their attributes.

    Attributes:
        relaxable: whether to keep candidates that this filter would remove rather than return fewer than ``k`` items.
    """

    name: str
    relaxable: bool

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """Bool [n], true for each candidate to keep; `None` keeps all, without a comparison."""

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """Why each of ``candidates``, all removed by this filter, was removed; called for traces only."""


class Backfill(Protocol):
    """Stage 5: ranks further items, for queries with fewer than ``k`` candidates after filtering. Does no I/O.

    Its items are hydrated and filtered like those of a source. A pipeline has one backfill at most.
    """

    name: str

    def items(self, query: Query) -> Iterable[NDArray[np.int32]]:
        """Item indices, best first, in parts: a part is computed when those before it did not fill the answer.

        The items of a part are distinct; those of an earlier part are skipped.
        """


class Scorer(Protocol):
    """Stage 6: scores candidates. Scorers run one after the other; each may read the score of the one before."""

    name: str

    def enabled(self, query: Query) -> bool:
        """Whether the scorer applies to the query; it is skipped otherwise."""

    def score(self, query: Query, candidates: Candidates) -> Result[None]:
        """Set ``candidates.score`` and, if known, ``candidates.probabilities`` and ``candidates.value``."""

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """Set ``candidates.score`` without I/O."""


class Orderer(Protocol):
    """Stage 7: chooses and orders the items to show, such as for diversity. Orderers run one after the other."""

    name: str

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates, best first; ``candidates`` are in descending order of score."""


class ReasonGiver(Protocol):
    """After stage 7, for requests that ask for it: says why each item is shown. Does no I/O."""

    def reasons(self, query: Query, shown: Candidates, sources: Sequence[str]) -> list[Reason]:
        """The reason of each of ``shown``; ``sources`` are the names of the columns of ``shown.scores``."""


class SideEffect(Protocol):
    """Stage 8: acts on an answer, such as to log it. It must not delay the answer: work belongs in a task or timer."""

    name: str

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Schedule the work for an answer; ``shown`` are the candidates of its items, in their order."""

    async def flush(self) -> None:
        """Finish scheduled work; called once, at shutdown."""
