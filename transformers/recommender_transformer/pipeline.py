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
from recommender_transformer.funnel.business.business_rules import BusinessRules
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.explanation import Explainer
from recommender_transformer.funnel.filters.available import Available
from recommender_transformer.funnel.filters.disliked import Disliked
from recommender_transformer.funnel.filters.disliked_category import DislikedCategory
from recommender_transformer.funnel.filters.named import Named
from recommender_transformer.funnel.filters.request import RequestFilter
from recommender_transformer.funnel.filters.seen import Seen
from recommender_transformer.funnel.filters.unless_pinned import UnlessPinned
from recommender_transformer.funnel.filters.unlikely import Unlikely
from recommender_transformer.funnel.forms.reader import FormReader
from recommender_transformer.funnel.item_hydrators.item_rows import ItemRows
from recommender_transformer.funnel.matching.categories import CategoryCodes
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.matching.wanted import WantedItems
from recommender_transformer.funnel.objectives import Objectives
from recommender_transformer.funnel.orderers.capped import Capped
from recommender_transformer.funnel.orderers.explored import Explored
from recommender_transformer.funnel.orderers.mmr import Mmr
from recommender_transformer.funnel.orderers.pinned import Pinned
from recommender_transformer.funnel.orderers.unseen_first import UnseenFirst
from recommender_transformer.funnel.pages.recommendation_ids import RecommendationIds
from recommender_transformer.funnel.pages.signing_key import SigningKey
from recommender_transformer.funnel.query_hydrators.matching import MatchingHydrator
from recommender_transformer.funnel.query_hydrators.objectives import ObjectivesHydrator
from recommender_transformer.funnel.query_hydrators.user_state import UserStateHydrator
from recommender_transformer.funnel.reasons.giver import Reasons
from recommender_transformer.funnel.reuse.held_answers import HeldAnswers
from recommender_transformer.funnel.scorers.boosts import Boosts
from recommender_transformer.funnel.scorers.content import ContentScorer
from recommender_transformer.funnel.scorers.ranker import Ranker
from recommender_transformer.funnel.scorers.source_order import SourceOrder
from recommender_transformer.funnel.scorers.value import Value
from recommender_transformer.funnel.side_effects.impressions import Impressions
from recommender_transformer.funnel.side_effects.spans import spans
from recommender_transformer.funnel.sources.content import Content
from recommender_transformer.funnel.sources.covisitation import Covisitation
from recommender_transformer.funnel.sources.history import History
from recommender_transformer.funnel.sources.matching import Matching
from recommender_transformer.funnel.sources.new_items import NewItems
from recommender_transformer.funnel.sources.offline import Offline
from recommender_transformer.funnel.sources.pinned import PinnedItems
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
    rules = BusinessRules(store.rules, catalog)
    held_answers = HeldAnswers(store, objectives, rules, reuse_s)
    matches = Matches(catalog, popular)
    retrieved, hides_history = manifest.candidates["retriever"], schema.repeats != "allow"
    retriever: Source = Retriever(models, catalog, matches, hides_history)
    if milvus_items is not None:
        retriever = RetrieverInMilvus(models, milvus_items, catalog, matches, retrieved, category.width, hides_history)
    backfill = Popular(popular, catalog, schema)
    funnel = Pipeline(
        release=manifest.number,
        catalog=catalog,
        media_decoder=media_decoder,
        content_lookup=content_lookup,
        categories=CategoryCodes(categories),
        wanted=WantedItems(catalog.columns),
        objectives=objectives,
        rules=rules,
        repeats=schema.repeats,
        explore=explore,
        experiments=experiments,
        query_hydrators=(
            UserStateHydrator(store, manifest.history_length, held_answers, Sessions(release, catalog)),
            ObjectivesHydrator(objectives),
            MatchingHydrator(matches, catalog.size, retrieved),
        ),
        sources=(
            Content(content_lookup, catalog, matches),
            # Without a ranker the order of the sources decides: what the user comes back to is first.
            History(),
            retriever,
            # Without retriever and ranker this order decides, too: a list that both made comes before simpler ones.
            Offline(store.lists),
            Covisitation(neighbours, weights, manifest.candidates["covisitation"]),
            Matching(catalog),
            Trending(store, popular, manifest.candidates["trending"]),
            NewItems(catalog),
            PinnedItems(),
        ),
        item_hydrators=(ItemRows(store, catalog.rows),),
        filters=(
            UnlessPinned(Seen(catalog)),
            Available(),
            RequestFilter(catalog, category.width),
            Named(catalog),
            Disliked(),
            UnlessPinned(DislikedCategory(catalog, categories, category.width)),
            UnlessPinned(Unlikely(catalog, item_hashes(categories), category.width, manifest.number)),
        ),
        backfill=backfill,
        scorers=(
            *((SourceOrder(),) if manifest.unranked else (Ranker(models, catalog, schema.repeats == "allow"), Value())),
            ContentScorer(catalog),
            Boosts(catalog),
        ),
        orderers=(Pinned(Explored(Capped(UnseenFirst(Mmr(catalog.vectors))))),),
        side_effects=(Impressions(store), held_answers, *spans()),
        ids=RecommendationIds(SigningKey(store.client)),
        reasons=Reasons(catalog, schema, categories, neighbours, weights, backfill.name),
        explainer=Explainer(release, store),
        reader=FormReader(catalog, schema),
    )
    return replace(funnel, forms=forms(funnel, release, store, matches))
