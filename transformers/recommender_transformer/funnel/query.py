"""One request on its way through the funnel."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.models import Tensors
from recommender_transformer.backends.online_store import UserState
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.content.media_decoder import Content
from recommender_transformer.funnel.trace import Trace
from winnow.ranking.context import SourceList
from winnow.request import RecommendRequest


@dataclass
class Query:
    """The request and what the stages have found out so far.

    Attributes:
        request: what was asked.
        request_id: the caller's id for it, or one made here.
        categories: codes of the categories to stay within; all where none.
        deadline_s: seconds from ``started`` until the answer must be on its way.
        state: what is known of the user; a stranger until the query hydrators have run.
        candidates: what is still in the race.
        content: what is looked for, decoded for the encoders: modality -> the encoder's input without the batch.
        content_vector: float32 [D], unit length, where it lies among the items; null until the encoders have answered.
        user: the five history and user tensors that both models take, each [1, ...].
        user_vector: float32 [D], the retriever's; null until and unless it answers.
        answered: names of the sources that have answered; one that was late or failed is not among them.
        found: source name -> what it named.
        carrier: the headers of the caller's own trace (W3C), where there is one.
        trace: what happened.
        started: ``time.perf_counter()`` at arrival.
        now_ms: milliseconds since the epoch at arrival.
    """

    request: RecommendRequest
    request_id: str
    categories: NDArray[np.int32] | None
    deadline_s: float
    state: UserState
    candidates: Candidates
    content: Content = field(default_factory=dict)
    content_vector: NDArray[np.float32] | None = None
    user: Tensors = field(default_factory=dict)
    user_vector: NDArray[np.float32] | None = None
    answered: set[str] = field(default_factory=set)
    found: dict[str, SourceList] = field(default_factory=dict)
    carrier: Mapping[str, str] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    started: float = field(default_factory=time.perf_counter)
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def has_history(self) -> bool:
        """Whether the user is known by anything the models can read."""
        return len(self.state.history.items) > 0

    @property
    def remaining_s(self) -> float:
        """Seconds left until the deadline; negative when it has passed."""
        return self.started + self.deadline_s - time.perf_counter()
