"""The funnel, as prose: who is asking, what might suit, what may be shown, what is best, in which order."""

from dataclasses import dataclass

import numpy as np

from recommender_transformer.contents import ContentReader
from recommender_transformer.explanation import Explainer
from recommender_transformer.filters.available import Available
from recommender_transformer.filters.request import Allowed
from recommender_transformer.filters.seen import Seen
from recommender_transformer.filters.unlikely import Unlikely
from recommender_transformer.item_hydrators.item_rows import ItemRows
from recommender_transformer.models import Models
from recommender_transformer.orderers.mmr import Mmr
from recommender_transformer.placing import Placing
from recommender_transformer.query_hydrators.user_state import UserStateHydrator
from recommender_transformer.scorers.content import ContentScorer
from recommender_transformer.scorers.naming import NamingOrder
from recommender_transformer.scorers.ranker import Ranker
from recommender_transformer.side_effects.impressions import Impressions
from recommender_transformer.side_effects.spans import spans
from recommender_transformer.sources.content import Content
from recommender_transformer.sources.covisitation import Covisitation
from recommender_transformer.sources.fresh import Fresh
from recommender_transformer.sources.retriever import Retriever
from recommender_transformer.sources.trending import Popular, Trending
from recommender_transformer.stages import Filter, ItemHydrator, Orderer, QueryHydrator, Scorer, SideEffect, Source
from winnow.encoders.preparation import Preparation
from winnow.filtering.hashing import item_hashes
from winnow.release import Release
from winnow.store.catalog import Catalog
from winnow.store.online import OnlineStore


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
    contents: ContentReader
    placing: Placing
    row_dtype: "np.dtype[np.void]"
    query_hydrators: tuple[QueryHydrator, ...]
    sources: tuple[Source, ...]
    item_hydrators: tuple[ItemHydrator, ...]
    filters: tuple[Filter, ...]
    scorers: tuple[Scorer, ...]
    orderers: tuple[Orderer, ...]
    side_effects: tuple[SideEffect, ...]
    allowed: Allowed
    reserve: Popular
    source_names: tuple[str, ...]
    explainer: Explainer


def recommender(release: Release, store: OnlineStore, models: Models) -> Pipeline:
    """The funnel of a release.

    Items are hydrated before they are filtered: their rows lie in this process nearly always, and with the row at hand
    every filter is exact and runs in one pass.
    """
    manifest, schema, catalog = release.manifest, release.schema, store.catalog
    popular = np.asarray(release.array("popular"), dtype=np.int32)
    category = schema.item[0]
    categories = release.vocabularies[category.name]
    allowed = Allowed(catalog.item_index, categories, category.width)
    unlikely = Unlikely(catalog, item_hashes(categories), category.width, manifest.number)
    contents = ContentReader(Preparation.load(release.folder))
    placing = Placing(models, contents.inputs, schema.item_dtype)
    sources: tuple[Source, ...] = (
        Content(placing, catalog),
        Retriever(models, catalog),
        Covisitation(
            np.asarray(release.array("neighbours")),
            np.asarray(release.array("neighbour_weights")),
            manifest.candidates["covisitation"],
        ),
        Trending(store, popular, manifest.candidates["trending"]),
        Fresh(catalog),
    )
    filters: tuple[Filter, ...] = (Seen(catalog), Available(), allowed, unlikely)
    reserve = Popular(popular, catalog.rows, schema)
    source_names = (*(source.name for source in sources), reserve.name)
    return Pipeline(
        release=manifest.number,
        catalog=catalog,
        contents=contents,
        placing=placing,
        row_dtype=schema.item_dtype,
        query_hydrators=(UserStateHydrator(store, manifest.history_length),),
        sources=sources,
        item_hydrators=(ItemRows(store, catalog.rows),),
        filters=filters,
        scorers=(NamingOrder() if manifest.unranked else Ranker(models, catalog), ContentScorer(catalog)),
        orderers=(Mmr(catalog.vectors),),
        side_effects=(Impressions(store), *spans()),
        allowed=allowed,
        reserve=reserve,
        source_names=source_names,
        explainer=Explainer(release, store, filters, source_names),
    )
