"""The type of a funnel: a tuple of components per stage; ``recommender_transformer/pipeline.py`` makes one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.funnel.business.business_rules import BusinessRules
from recommender_transformer.funnel.explanation import Explainer
from recommender_transformer.funnel.forms.asked import FunnelName
from recommender_transformer.funnel.forms.reader import FormReader
from recommender_transformer.funnel.matching.categories import CategoryCodes
from recommender_transformer.funnel.matching.wanted import WantedItems
from recommender_transformer.funnel.objectives import Objectives
from recommender_transformer.funnel.pages.recommendation_ids import RecommendationIds
from recommender_transformer.funnel.stages import (
    Backfill,
    Filter,
    ItemHydrator,
    Orderer,
    QueryHydrator,
    ReasonGiver,
    Scorer,
    SideEffect,
    Source,
)
from winnow.schema import Repeats
from winnow.settings.experiments import Experiments


@dataclass(frozen=True)
class Pipeline:
    """The components of a funnel: a tuple per stage, and what requests are read with and answers are made from.

    ``recommender_transformer/pipeline.py`` builds it. Within a stage, components run in the order of the tuple.

    Attributes:
        release: number of the release that all components belong to.
        catalog: the items that can be recommended, by index.
        media_decoder: decodes the content of queries and new items.
        content_lookup: embeds decoded content and finds similar items.
        categories: codes of the categories that requests name.
        wanted: reads the conditions of requests.
        objectives: weights of the event types that requests may replace.
        rules: the business rules of requests.
        repeats: what to do with items that a user has seen, for requests that do not say.
        explore: share of the lists that are explored.
        experiments: assign users to arms, which set fields of their requests.
        ids: write and read the ids of recommendations.
        reasons: says why items are shown.
        explainer: renders the trace of ``debug: true``.
        backfill: fills up answers; `None` for answers that may have fewer than ``k`` items.
        only: name of the source whose items alone are candidates, while the ranker reads the lists of the others too;
            empty where the items of all are.
        reader: reads what a request asks for.
        forms: the funnels of requests that ask for something else than recommendations, each with this one's parts.
    """

    release: int
    catalog: Catalog
    media_decoder: MediaDecoder
    content_lookup: ContentLookup
    categories: CategoryCodes
    wanted: WantedItems
    objectives: Objectives
    rules: BusinessRules
    repeats: Repeats
    explore: float
    experiments: Experiments
    query_hydrators: tuple[QueryHydrator, ...]
    sources: tuple[Source, ...]
    item_hydrators: tuple[ItemHydrator, ...]
    filters: tuple[Filter, ...]
    backfill: Backfill | None
    scorers: tuple[Scorer, ...]
    orderers: tuple[Orderer, ...]
    side_effects: tuple[SideEffect, ...]
    ids: RecommendationIds
    reasons: ReasonGiver
    explainer: Explainer
    reader: FormReader
    only: str = ""
    forms: "Mapping[FunnelName, Pipeline]" = field(default_factory=dict)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources and of the backfill: the columns of ``Candidates.scores``, in order."""
        names = tuple(source.name for source in self.sources)
        return names if self.backfill is None else (*names, self.backfill.name)

    @property
    def row_dtype(self) -> "np.dtype[np.void]":
        """The packed item row."""
        return self.catalog.rows.dtype
