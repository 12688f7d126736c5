"""The funnels of requests that ask for something else than recommendations, made of the parts of the one funnel.

Each names what differs from the funnel of ``recommender_transformer/pipeline.py``. A filter that is added there applies
here too, unless it is a matter of taste (:data:`TASTE`).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.similar_items import SimilarItems
from recommender_transformer.funnel.backfill.nearest import Nearest
from recommender_transformer.funnel.backfill.ordered import LastSeen, Ordered
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.forms.asked import FunnelName
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.orderers.by_score import ByScore
from recommender_transformer.funnel.orderers.capped import Capped
from recommender_transformer.funnel.orderers.mmr import Mmr
from recommender_transformer.funnel.orderers.pinned import Pinned
from recommender_transformer.funnel.orderers.unseen_first import UnseenFirst
from recommender_transformer.funnel.query_hydrators.matching import MatchingHydrator
from recommender_transformer.funnel.scorers.boosts import Boosts
from recommender_transformer.funnel.scorers.closeness import Closeness
from recommender_transformer.funnel.scorers.content import ContentScorer
from recommender_transformer.funnel.scorers.source_order import SourceOrder
from recommender_transformer.funnel.sources.complements import Complements
from recommender_transformer.funnel.sources.own_list import OwnList
from recommender_transformer.funnel.sources.pinned import PinnedItems
from recommender_transformer.funnel.sources.similar import Similar
from recommender_transformer.funnel.sources.trending import TrendingList
from winnow.release import Release
from winnow.retrieval.item_orders import ARRAYS, ItemOrders

TASTE = ("unlikely", "disliked_category", "disliked")
"""Filters by what the user likes, which do not apply to a list that the caller or the release determines."""


def forms(funnel: Pipeline, release: Release, store: OnlineStore, matches: Matches) -> Mapping[FunnelName, Pipeline]:
    """The funnel of each form.

    Args:
        funnel: the funnel of plain requests.
        release: gives the tables and orders of the items.
        store: reads the trending list, and has the catalog.
        matches: scores the items that match a request's conditions.
    """
    catalog, manifest, schema = store.catalog, release.manifest, release.schema
    orders = item_orders(release)
    similar_items = SimilarItems(release, catalog, orders)
    similar = Similar(similar_items, manifest.candidates["retriever"], matches)
    neighbours, weights = np.asarray(release.array("neighbours")), np.asarray(release.array("neighbour_weights"))
    popular = np.asarray(release.array("popular"), dtype=np.int32)
    ranked = tuple(scorer for scorer in funnel.scorers if not isinstance(scorer, ContentScorer | Boosts))
    boosts = Boosts(catalog)
    by_score = (Pinned(Capped(UnseenFirst(ByScore(Mmr(catalog.vectors))))),)
    allowed = tuple(one for one in funnel.filters if one.name not in TASTE)
    # A list as it is: no ranker, and the user is read for the user's own list only.
    listed = replace(
        funnel,
        query_hydrators=tuple(one for one in funnel.query_hydrators if one.name == MatchingHydrator.name),
        sources=(),
        filters=allowed,
        scorers=(SourceOrder(),),
        orderers=(),
        backfill=Ordered("popular", orders, catalog),
    )
    of_user = tuple(one for one in funnel.query_hydrators if one.name in ("user_state", MatchingHydrator.name))
    disliked = tuple(one for one in funnel.filters if one.name not in TASTE or one.name == "disliked")
    return {
        "similar": replace(
            funnel,
            sources=(similar, PinnedItems()),
            scorers=(ContentScorer(catalog), boosts),
            orderers=by_score,
            backfill=Nearest(similar_items),
        ),
        "similar_to_taste": replace(funnel, sources=(similar, *funnel.sources), backfill=Nearest(similar_items)),
        "complementary": replace(
            funnel,
            sources=(*funnel.sources, Complements(neighbours, weights)),
            only=Complements.name,
            scorers=(*ranked, Closeness(), boosts),
            orderers=by_score,
        ),
        "rank": replace(
            funnel,
            sources=(*funnel.sources, OwnList()),
            only=OwnList.name,
            filters=allowed,
            orderers=by_score,
            backfill=None,
        ),
        "popular": listed,
        "trending": replace(listed, sources=(TrendingList(store, popular, schema.item[0].width),)),
        "new": replace(listed, backfill=Ordered("new", orders, catalog)),
        "last_seen": replace(listed, query_hydrators=of_user, filters=disliked, backfill=LastSeen()),
    }


def item_orders(release: Release) -> ItemOrders:
    """The orders of a release's items; for a release of an earlier version, which has none, they are computed."""
    if f"{ARRAYS[0]}.npy" in release.manifest.files:
        return ItemOrders(*(np.asarray(release.array(name)) for name in ARRAYS))
    return ItemOrders.of(np.asarray(release.array("item_rows")), release.schema)
