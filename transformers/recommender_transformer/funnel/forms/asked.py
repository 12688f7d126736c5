"""What a request asks for, in the terms of the release."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from winnow.forms.combinations import FormName
from winnow.store.events import Event

FunnelName = Literal[
    "plain", "similar", "similar_to_taste", "complementary", "rank", "popular", "trending", "new", "last_seen"
]
"""The funnels; ``recommender_transformer/forms.py`` lists the components of each."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
        form: the form, which labels the impression.
        funnel: the components that answer it.
        item: index of the item that others are related to; 0 without one.
        own: int32 [n], the caller's own list, without unknown items.
        session: the events of the session, oldest first, without those of unknown items; ``None`` without a session.
        unknown: ids of the session or of the caller's own list that are not in the catalog.
    """

    form: FormName = "plain"
    funnel: FunnelName = "plain"
    item: int = 0
    own: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    session: Sequence[Event] | None = None
    unknown: tuple[str, ...] = ()


PLAIN = Asked()
"""What most requests ask for: the recommendations of the whole funnel."""
