"""The funnel, as prose: who is asking, what might suit, what may be shown, what is best, in which order."""

import numpy as np

from recommender_transformer.backends.models import Models
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.funnel.explanation import Explainer
from recommender_transformer.funnel.filters.available import Available
from recommender_transformer.funnel.filters.request import Allowed
from recommender_transformer.funnel.filters.seen import Seen
from recommender_transformer.funnel.filters.unlikely import Unlikely
from recommender_transformer.funnel.item_hydrators.item_rows import ItemRows
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.funnel.orderers.mmr import Mmr
from recommender_transformer.funnel.query_hydrators.user_state import UserStateHydrator
from recommender_transformer.funnel.scorers.content import ContentScorer
from recommender_transformer.funnel.scorers.source_order import SourceOrder
from recommender_transformer.funnel.scorers.ranker import Ranker
from recommender_transformer.funnel.side_effects.impressions import Impressions
from recommender_transformer.funnel.side_effects.spans import spans
from recommender_transformer.funnel.sources.content import Content
from recommender_transformer.funnel.sources.covisitation import Covisitation
from recommender_transformer.funnel.sources.new_items import Fresh
from recommender_transformer.funnel.sources.retriever import Retriever
from recommender_transformer.funnel.sources.trending import Popular, Trending
from recommender_transformer.funnel.stages import Filter, Source
from winnow.bloom.hashing import item_hashes
from winnow.encoders.preparation import Preparation
from winnow.release import Release


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
    contents = MediaDecoder(Preparation.load(release.folder))
    placing = ContentLookup(models, contents.inputs, schema.item_dtype)
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
        scorers=(SourceOrder() if manifest.unranked else Ranker(models, catalog), ContentScorer(catalog)),
        orderers=(Mmr(catalog.vectors),),
        side_effects=(Impressions(store), *spans()),
        allowed=allowed,
        reserve=reserve,
        source_names=source_names,
        explainer=Explainer(release, store, filters, source_names),
    )
