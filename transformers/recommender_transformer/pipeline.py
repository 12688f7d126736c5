"""The funnel of a release, stage by stage.

To add a source, a filter or another component: write one file in the folder of its stage, against the protocol in
``funnel/stages.py``, and add it to the list below (an import and one line).
"""

from dataclasses import replace

import numpy as np

from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.backends.session import Sessions
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.forms import forms
from recommender_transformer.funnel.backfill.popular import Popular
from recommender_transformer.funnel.categories import CategoryCodes
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.explanation import Explainer
from recommender_transformer.funnel.filters.available import Available
from recommender_transformer.funnel.filters.disliked import Disliked
from recommender_transformer.funnel.filters.disliked_category import DislikedCategory
from recommender_transformer.funnel.filters.request import RequestFilter
from recommender_transformer.funnel.filters.seen import Seen
from recommender_transformer.funnel.filters.unlikely import Unlikely
from recommender_transformer.funnel.forms.reader import FormReader
from recommender_transformer.funnel.item_hydrators.item_rows import ItemRows
from recommender_transformer.funnel.objectives import Objectives
from recommender_transformer.funnel.orderers.explored import Explored
from recommender_transformer.funnel.orderers.mmr import Mmr
from recommender_transformer.funnel.orderers.unseen_first import UnseenFirst
from recommender_transformer.funnel.query_hydrators.objectives import ObjectivesHydrator
from recommender_transformer.funnel.query_hydrators.user_state import UserStateHydrator
from recommender_transformer.funnel.reuse.held_answers import HeldAnswers
from recommender_transformer.funnel.scorers.content import ContentScorer
from recommender_transformer.funnel.scorers.ranker import Ranker
from recommender_transformer.funnel.scorers.source_order import SourceOrder
from recommender_transformer.funnel.scorers.value import Value
from recommender_transformer.funnel.side_effects.impressions import Impressions
from recommender_transformer.funnel.side_effects.spans import spans
from recommender_transformer.funnel.sources.content import Content
from recommender_transformer.funnel.sources.covisitation import Covisitation
from recommender_transformer.funnel.sources.history import History
from recommender_transformer.funnel.sources.new_items import NewItems
from recommender_transformer.funnel.sources.offline import Offline
from recommender_transformer.funnel.sources.retriever import Retriever
from recommender_transformer.funnel.sources.retriever_in_milvus import RetrieverInMilvus
from recommender_transformer.funnel.sources.trending import Trending
from recommender_transformer.funnel.stages import Source
from winnow.bloom.hashing import item_hashes
from winnow.encoders.preparation import Preparation
from winnow.release import Release
from winnow.settings.experiments import Experiments


def recommender(
    release: Release,
    store: OnlineStore,
    models: Models,
    milvus_items: MilvusItems | None = None,
    reuse_s: float = 0.0,
    explore: float = 0.0,
    experiments: Experiments = Experiments(),  # noqa: B008
) -> Pipeline:
    """The funnel of a release.

    Items are hydrated before they are filtered: nearly all rows are cached in this process, and with the rows every
    filter is exact and runs once.

    Args:
        release: the release to serve.
        store: the release's online store.
        models: the release's models.
        milvus_items: the release's items in Milvus; without them the models' retriever searches the items.
        reuse_s: age up to which an answer is reused; 0 reuses none.
        explore: share of the lists that are explored; 0 explores none.
        experiments: the experiments that users take part in.
    """
    manifest, schema, catalog = release.manifest, release.schema, store.catalog
    category = schema.item[0]
    categories = release.vocabularies[category.name]
    popular = np.asarray(release.array("popular"), dtype=np.int32)
    neighbours, weights = np.asarray(release.array("neighbours")), np.asarray(release.array("neighbour_weights"))
    media_decoder = MediaDecoder(Preparation.load(release.folder))
    content_lookup = ContentLookup(models, media_decoder.inputs, schema.item_dtype)
    objectives = Objectives(schema, store)
    held_answers = HeldAnswers(store, objectives, reuse_s)
    retriever: Source = Retriever(models, catalog)
    if milvus_items is not None:
        hides_history, count = schema.repeats != "allow", manifest.candidates["retriever"]
        retriever = RetrieverInMilvus(models, milvus_items, catalog, count, category.width, hides_history)
    funnel = Pipeline(
        release=manifest.number,
        catalog=catalog,
        media_decoder=media_decoder,
        content_lookup=content_lookup,
        categories=CategoryCodes(categories),
        objectives=objectives,
        repeats=schema.repeats,
        explore=explore,
        experiments=experiments,
        query_hydrators=(
            UserStateHydrator(store, manifest.history_length, held_answers, Sessions(release, catalog)),
            ObjectivesHydrator(objectives),
        ),
        sources=(
            Content(content_lookup, catalog),
            # Without a ranker the order of the sources decides: what the user comes back to is first.
            History(),
            retriever,
            # Without retriever and ranker this order decides, too: a list that both made comes before simpler ones.
            Offline(store.lists),
            Covisitation(neighbours, weights, manifest.candidates["covisitation"]),
            Trending(store, popular, manifest.candidates["trending"]),
            NewItems(catalog),
        ),
        item_hydrators=(ItemRows(store, catalog.rows),),
        filters=(
            Seen(catalog),
            Available(),
            RequestFilter(catalog, category.width),
            Disliked(),
            DislikedCategory(catalog, categories, category.width),
            Unlikely(catalog, item_hashes(categories), category.width, manifest.number),
        ),
        backfill=Popular(popular, catalog.rows, schema),
        scorers=(
            *((SourceOrder(),) if manifest.unranked else (Ranker(models, catalog, schema.repeats == "allow"), Value())),
            ContentScorer(catalog),
        ),
        orderers=(Explored(UnseenFirst(Mmr(catalog.vectors))),),
        side_effects=(Impressions(store), held_answers, *spans()),
        explainer=Explainer(release, store),
        reader=FormReader(catalog, schema),
    )
    return replace(funnel, forms=forms(funnel, release, store))
