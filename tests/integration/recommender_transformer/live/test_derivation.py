"""What a release derives from a change: rows, vectors, and search results as if the index held them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends import live_items
from recommender_transformer.backends.catalog import INHERITED, Catalog, LiveItem
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.derivation.derive import Derivation
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.fake_models import NumpyModels
from tests.support.tiny_release import RETRIEVED
from winnow.catalog.change import Change, Overlay
from winnow.encoders.preparation import Preparation
from winnow.features.row import NUMERIC_FEATURES
from winnow.release import Release
from winnow.request import RecommendRequest


def overlay(*changes: Change) -> Overlay:
    found = Overlay()
    for number, change in enumerate(changes, start=1):
        found = found.after(change, f"{number}-0")
    return found


def upsert(**values: Any) -> Change:
    return Change("item-7", "upsert", values)


def with_derivation(
    published: Release, redis_url: str, models: Any, use: Callable[[OnlineStore, Derivation], Awaitable[None]]
) -> None:
    async def work() -> None:
        store = OnlineStore(published, redis_url)
        decoder = MediaDecoder(Preparation.load(published.folder))
        try:
            await use(store, Derivation(published, store, models, decoder))
        finally:
            await store.close()

    asyncio.run(work())


def test_only_what_the_tower_reads_moves_the_vector(published: Release, redis_url: str, models: Any) -> None:
    async def use(store: OnlineStore, derivation: Derivation) -> None:
        before = store.catalog.rows.take(np.array([7]))[0]

        async def derive(*changes: Change) -> LiveItem:
            [derived] = await derivation.derive(["item-7"], [overlay(*changes)])
            return derived.item

        stays = await derive(upsert(created_at=1_790_000_000_000), Change("item-7", "disable"))
        np.testing.assert_array_equal(stays.vector, published.array("item_vectors")[7])
        assert (stays.inputs, stays.row["available"], models.asked) == (INHERITED, 0, [])
        assert stays.row["numeric"][len(NUMERIC_FEATURES) - 1] != before["numeric"][len(NUMERIC_FEATURES) - 1]
        priced = await derive(upsert(price=9.0))
        assert priced.row["numeric"][len(NUMERIC_FEATURES)] == pytest.approx((np.log1p(9.0) - 2.0) / 0.5)
        # Popularity, category and all other columns stay.
        assert priced.row["numeric"][:4].tolist() == before["numeric"][:4].tolist()
        assert priced.row["categorical"].tolist() == before["categorical"].tolist()
        assert priced.inputs not in (INHERITED, stays.inputs)
        assert [name for name, _ in models.asked] == ["item_tower"]
        # The parts of the content that have not changed are those of the build.
        [(_, given)] = models.asked
        stored = [published.array(f"embeddings_{name}")[7] for name in ("audio", "image", "text")]
        np.testing.assert_array_equal(given["embeddings"][0], np.concatenate(stored).astype(np.float32))
        described = await derive(upsert(price=9.0, description="soft"))
        assert [name for name, _ in models.asked[1:]] == ["text_encoder", "item_tower"]
        assert not np.allclose(described.vector, priced.vector)
        # Back to what it was: the release's own vector.
        again = await derive(upsert(price=9.0), upsert(price=7.0, category=None))
        assert again.row["categorical"][0] == 0
        await live_items.write(store, [described])
        await live_items.catch_up(store)
        asked = len(models.asked)
        # Another change of the price's availability alone: nothing has to be embedded.
        assert (
            await derive(upsert(price=9.0, description="soft"), Change("item-7", "enable"))
        ).inputs == described.inputs
        assert len(models.asked) == asked

    with_derivation(published, redis_url, models, use)


def test_the_identity_of_an_item_stays_when_its_content_changes(
    published: Release, redis_url: str, models: Any
) -> None:
    async def use(store: OnlineStore, derivation: Derivation) -> None:
        [derived] = await derivation.derive(["item-7"], [overlay(upsert(price=9.0))])
        content = (await models.tower(models.asked[-1][1])).item_vector[0]
        expected = content + published.array("item_identity")[7].astype(np.float32)
        np.testing.assert_allclose(derived.item.vector, expected / np.linalg.norm(expected), rtol=1e-5)
        # One that was deleted and added again begins anew.
        revived = overlay(Change("item-7", "delete"), upsert(price=9.0))
        [anew] = await derivation.derive(["item-7"], [revived])
        np.testing.assert_allclose(anew.item.vector, (await models.tower(models.asked[-1][1])).item_vector[0])
        assert anew.item.document == {"price": 9.0, "available": True}

    with_derivation(published, redis_url, models, use)


def test_a_search_is_that_of_an_index_with_the_vectors_of_now(release: Release) -> None:
    """Corrected results beside a scan of all vectors as they are now, for changed, deleted and new items."""
    catalog, rng = Catalog(release), np.random.default_rng(0)
    rows, before = release.array("item_rows"), np.array(release.array("item_vectors"))
    items = rng.choice(np.arange(1, 301), 60, replace=False).tolist()
    now = before.copy()
    now[0] = 0
    for number, index in enumerate(items):
        vector = rng.standard_normal(before.shape[1]).astype(np.float32)
        vector /= np.linalg.norm(vector)
        deleted = number % 5 == 0
        kept = number % 5 == 1
        now[index] = np.nan if deleted else before[index] if kept else vector
        live = LiveItem(f"item-{index}", -1, before[index] if kept else vector, rows[index], "", {}, deleted)
        catalog.put([live._replace(inputs=INHERITED if kept else b"x")])
    for user in rng.standard_normal((20, before.shape[1])).astype(np.float32):
        scores = before[1:] @ user
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        found, products = catalog.corrected((best + 1).astype(np.int32), scores[best], user)
        whole = np.nan_to_num(now[1:] @ user, nan=-np.inf)
        exact = np.argsort(-whole, kind="stable")[:RETRIEVED] + 1
        # Down to the last score that the index returned, the list is the exact one; below it may lack items.
        known = int(np.count_nonzero(whole[exact - 1] >= scores[best[-1]]))
        assert known > RETRIEVED / 2
        assert found[:known].tolist() == exact[:known].tolist()
        np.testing.assert_allclose(products, whole[found - 1], rtol=1e-5)
        assert len(found) == RETRIEVED


def test_the_ranker_gets_the_vector_of_now(published: Release, redis_url: str, models: NumpyModels) -> None:
    async def use(store: OnlineStore, derivation: Derivation) -> None:
        runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms=5000)
        [query] = await runner.admit([RecommendRequest(user_id="user-3", k=1)], "t")
        shown = await runner.recommend(query)
        item_id = shown["items"][0]["item_id"]
        index = store.catalog.index_in_release(item_id)
        [derived] = await derivation.derive([item_id], [overlay(upsert(price=3.0))])
        store.learn([derived.item])
        [query] = await runner.admit([RecommendRequest(user_id="user-3", k=100)], "t")
        assert item_id in [item["item_id"] for item in (await runner.recommend(query))["items"]]
        given = [inputs for name, inputs in models.asked if name == "ranker"][-1]
        assert index not in given["candidate_items"]
        np.testing.assert_array_equal(given["fresh_vectors"][0, 0], derived.item.vector)
        await runner.close()

    with_derivation(published, redis_url, models, use)


def test_changing_an_item_costs_a_page_and_not_a_copy_of_the_catalog(release: Release) -> None:
    """The files stay as they are, and another process does not see the change."""
    one, other = Catalog(release), Catalog(release)
    row = release.array("item_rows")[7].copy()
    row["available"] = 0
    one.put([LiveItem("item-7", -1, one.vectors.take(np.array([7]))[0], row, "")])
    assert one.rows.take(np.array([7]))["available"].tolist() == [0]
    assert other.rows.take(np.array([7]))["available"].tolist() == release.array("item_rows")["available"][[7]].tolist()
    release.verify()
