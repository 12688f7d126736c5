"""One request in the funnel: what was asked, and what the stages have found out so far."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import UserState
from recommender_transformer.backends.predictor.models import Tensors
from recommender_transformer.content.media_decoder import DecodedContent
from recommender_transformer.funnel.business.query_rules import QueryRules
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.forms.asked import PLAIN, Asked
from recommender_transformer.funnel.matching.wanted import Wanted
from recommender_transformer.funnel.pages.page import Page
from recommender_transformer.funnel.trace import Trace
from winnow.ranking.context import SourceList
from winnow.request import RecommendedItem, RecommendRequest
from winnow.schema import Repeats


@dataclass
class User:
    """The user of a query. Query hydrators and the retriever fill it in.

    Attributes:
        state: row, history and filters; the cold-start state until the query hydrators have run.
        tensors: the five history and user tensors that the retriever and the ranker take, each [1, ...].
        vector: float32 [D], the retriever's user vector; `None` unless the retriever has answered.
    """

    state: UserState
    tensors: Tensors = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None

    @property
    def has_history(self) -> bool:
        """Whether the history holds an event that the models can read."""
        return len(self.state.history.items) > 0


@dataclass
class SourceResults:
    """What the sources returned for a query.

    Attributes:
        lists: source name -> its candidates, or those of its fallback; sources that were not enabled are absent.
        columns: names of the columns of ``Candidates.scores`` and ``Candidates.places``.
        answered: names of the sources that answered; a source that failed or was late is not among them.
        content_vector: float32 [D], unit length, the item-tower vector of the query's content, or the vector of the
            item that others are similar to; `None` unless the source has answered.
    """

    lists: Mapping[str, SourceList] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    answered: set[str] = field(default_factory=set)
    content_vector: NDArray[np.float32] | None = None


class HeldAnswer(NamedTuple):
    """An answer that may be reused.

    Attributes:
        items: its items.
        shown: the candidates of its items, in their order.
        user: what an impression needs of the user's state.
        weights: float64 [E], the weights that it was computed with.
        made: ``time.monotonic()`` when it was computed.
    """

    items: list[RecommendedItem]
    shown: Candidates
    user: UserState
    weights: NDArray[np.float64]
    made: float


@dataclass
class Matching:
    """The items that match the request's conditions. A query hydrator finds them.

    Attributes:
        items: int32, those of the release by popularity first; ``None`` while unknown, and without conditions.
        narrow: whether they are so few that sources which do not know the conditions would hardly name any.
    """

    items: NDArray[np.int32] | None = None
    narrow: bool = False

    @property
    def few(self) -> NDArray[np.int32] | None:
        """The items, if they are so few that sources should choose among them alone."""
        return self.items if self.narrow else None


@dataclass
class Reuse:
    """How the query's answer and those of other queries relate (:mod:`recommender_transformer.funnel.reuse`).

    Attributes:
        key: digest of what the query's answer depends on; `None` if it must not be reused.
        answer: the earlier answer that is reused for the query; `None` for one that is computed.
    """

    key: bytes | None = None
    answer: HeldAnswer | None = None


class Exploration(NamedTuple):
    """Whether the query's list is explored (:mod:`recommender_transformer.funnel.orderers.explored`).

    Attributes:
        share: the probability with which lists of such queries are; 0 for a query that is exempt.
        drawn: whether this one's is.
    """

    share: float = 0.0
    drawn: bool = False


@dataclass(frozen=True)
class Query:
    """An admitted request, which is fixed; the stages write to its parts only: ``user``, ``weights`` and so on.

    Attributes:
        request: the validated request, with what the user's arms set.
        asked: what the request asks for, in the terms of the release.
        request_id: the caller's id, or a generated one.
        categories: int32 codes of the requested categories; `None` if the request has no category filter.
        repeats: what to do with items that the user has seen: the request's choice or the release's.
        wanted: the conditions on the catalog's columns, categories included; `None` without any.
        matching: the items that fulfil them.
        weights: float64 [E], the weights of the event types; a query hydrator writes those in force.
        deadline_s: seconds from ``started`` within which the answer is due.
        user: the user's state and vectors.
        rules: the business rules that apply to it; `None` where there is none.
        page: which page of the recommendation is asked for.
        content: the decoded content of the request's query: modality -> encoder input, without the batch axis.
        carrier: W3C trace headers of the caller; empty without a trace.
        sources: candidate lists by source, and the vector of the content.
        arms: experiment -> the arm that the user is in; what it sets is in ``request``.
        exploration: whether the list is explored.
        reuse: the answer that is reused for the query, if any.
        trace: timings, degraded components and removed candidates.
        started: ``time.perf_counter()`` when the deadline began: after the content was decoded.
        now_ms: milliseconds since the epoch at the same moment.
    """

    request: RecommendRequest
    request_id: str
    categories: NDArray[np.int32] | None
    repeats: Repeats
    weights: NDArray[np.float64]
    deadline_s: float
    user: User
    page: Page
    rules: QueryRules | None = None
    wanted: Wanted | None = None
    matching: Matching = field(default_factory=Matching)
    asked: Asked = PLAIN
    content: DecodedContent = field(default_factory=dict)
    carrier: Mapping[str, str] = field(default_factory=dict)
    sources: SourceResults = field(default_factory=SourceResults)
    arms: Mapping[str, str] = field(default_factory=dict)
    exploration: Exploration = field(default_factory=Exploration)
    reuse: Reuse = field(default_factory=Reuse)
    trace: Trace = field(default_factory=Trace)
    started: float = field(default_factory=time.perf_counter)
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def states_interest(self) -> bool:
        """Whether the request says what the user wants: with a query, an item or a condition on the category."""
        if self.request.query is not None or self.categories is not None or self.asked.item > 0:
            return True
        return self.wanted is not None and self.wanted.names_categories

    @property
    def has_person(self) -> bool:
        """Whether the request is for someone: a user, or the visitor of a session."""
        return self.request.user_id is not None or self.asked.session is not None

    @property
    def reads_ranker(self) -> bool:
        """Whether the ranker's score counts: without a history, relevance to a query or an item decides alone."""
        return self.user.has_history or (self.sources.content_vector is None and not self.asked.item)

    @property
    def slots(self) -> int:
        """Positions of the list that no pinned item takes."""
        return self.request.k if self.rules is None else self.request.k - len(self.rules.placed)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.started + self.deadline_s - time.perf_counter()
