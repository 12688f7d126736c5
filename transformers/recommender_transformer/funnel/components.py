"""The components of a funnel, as the runner takes them: an explicit list per stage."""

from dataclasses import dataclass

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.funnel.explanation import Explainer
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.funnel.stages import (
    Admission,
    Filter,
    ItemHydrator,
    Orderer,
    QueryHydrator,
    Reserve,
    Scorer,
    SideEffect,
    Source,
)


@dataclass(frozen=True)
class Pipeline:
    """The components of a funnel, stage by stage, in the order in which they take their turns.

    Attributes:
        release: number of the release that the components belong to.
        catalog: every item that can be recommended, by index.
        contents: decodes what a request looks for.
        placing: finds the place of a thing among the items.
        row_dtype: the packed item row.
        allowed: what the caller allows; also tells whether a request can be met at all.
        reserve: what fills an answer when the sources have run out.
        source_names: of the sources, then of the reserve: the order of the candidates' score columns.
        explainer: tells what happened, where it is asked for.
    """

    release: int
    catalog: Catalog
    contents: MediaDecoder
    placing: ContentLookup
    row_dtype: "np.dtype[np.void]"
    query_hydrators: tuple[QueryHydrator, ...]
    sources: tuple[Source, ...]
    item_hydrators: tuple[ItemHydrator, ...]
    filters: tuple[Filter, ...]
    scorers: tuple[Scorer, ...]
    orderers: tuple[Orderer, ...]
    side_effects: tuple[SideEffect, ...]
    allowed: Admission
    reserve: Reserve
    source_names: tuple[str, ...]
    explainer: Explainer
