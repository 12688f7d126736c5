"""The retriever's list from a real Milvus Lite: exact, filtered there, and replaced by the other sources without it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from itertools import count

import numpy as np
import pytest

from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.fake_models import NumpyModels
from tests.support.tiny_release import ITEMS, RETRIEVED, VOCABULARIES, new_item, write_release
from tests.support.transformer_server import serving_published
from tests.support.until import until
from winnow.local import milvus as local_milvus
from winnow.milvus.publish import drop
from winnow.milvus.publish import publish as publish_to_milvus
from winnow.ports import Ports
from winnow.request import RecommendRequest
from winnow.store.publish import publish

USER = "user-3"
_numbers = count(8001)


def released(folder, redis_url, milvus_url):
    """A release whose items are in Milvus, published."""
    release = write_release(folder, next(_numbers), models=("user_tower",))
    publish(release.folder, redis_url, show_progress=False)
    publish_to_milvus(release.folder, milvus_url, show_progress=False)
    return release


@pytest.fixture
def release(tmp_path, redis_url, milvus_url):
    return released(tmp_path, redis_url, milvus_url)


@pytest.fixture
def funnel(redis_url, milvus_url):
    """Run ``talk(ask, store, models)`` with a funnel that searches in Milvus."""

    def run(release, talk, url=milvus_url):
        async def connected():
            store, models = OnlineStore(release, redis_url), NumpyModels(np.asarray(release.array("item_vectors")))
            items = MilvusItems(release, url)
            # A long deadline: on a busy machine, a short one would test the fallback.
            runner = Runner(recommender(release, store, models, items), store.cold_start_state, deadline_ms=10_000)

            async def ask(**fields):
                request = RecommendRequest.model_validate({"user_id": USER, "k": 10, "debug": True, **fields})
                [query] = await runner.admit([request], "test")
                return await runner.recommend(query)

            try:
                return await talk(ask, store, models)
            finally:
                await items.close()
                await runner.close()
                await store.close()

        return asyncio.run(connected())

    return run


def listed(answer):
    """The retriever's list in a trace: item ids, best first, and their scores."""
    scores = {each["item_id"]: each["sources"].get("retriever") for each in answer["trace"]["candidates"]}
    named = {item: score for item, score in scores.items() if score is not None}
    best = sorted(named, key=named.__getitem__, reverse=True)
    return best, [named[item] for item in best]


def exact(release, models, passes):
    """The list that a scan of all items gives, of those that pass."""
    history = [inputs["history_items"][0] for name, inputs in models.asked if name == "user_tower"][-1]
    vectors = release.array("item_vectors")
    scores = vectors @ vectors[history].mean(axis=0)
    passes = passes & (release.array("item_rows")["available"] != 0)
    passes[[0, *history]] = False
    best = np.flatnonzero(passes)[np.argsort(-scores[passes], kind="stable")][:RETRIEVED]
    return [f"item-{index}" for index in best], scores[best]


def test_the_list_is_the_exact_one_of_available_items_without_the_history(release, funnel):
    async def talk(ask, store, models):
        answer = await ask()
        assert answer["degraded"] == []
        items, scores = listed(answer)
        expected, expected_scores = exact(release, models, np.ones(ITEMS + 1, bool))
        assert len(expected) == RETRIEVED
        assert items == expected
        assert scores == pytest.approx(expected_scores, abs=1e-6)
        assert "retriever" not in {name for name, _ in models.asked}

    funnel(release, talk)


def test_the_list_is_full_although_most_of_the_catalog_is_filtered_out(release, funnel):
    async def talk(ask, store, models):
        categories = release.array("item_rows")["categorical"][:, 0]
        everything, _ = listed(await ask())
        passes = categories == VOCABULARIES["category"].index("books")
        unfiltered = [item for item in everything if passes[int(item.removeprefix("item-"))]]
        passes[[int(item.removeprefix("item-")) for item in unfiltered[:3]]] = False
        filters = {"categories": ["books"], "exclude_items": [*unfiltered[:3], "no-such-item"]}
        items, _ = listed(await ask(filters=filters))
        expected, _ = exact(release, models, passes)
        assert items == expected
        assert len(items) > 2 * len(unfiltered)

    funnel(release, talk)


def test_new_items_that_pass_the_filters_are_merged(release, funnel):
    async def talk(ask, store, models):
        await ask()
        [history] = [inputs["history_items"][0] for name, inputs in models.asked if name == "user_tower"]
        nearest = release.array("item_vectors")[history].mean(axis=0)
        nearest /= np.linalg.norm(nearest)
        rows = {"likely": {}, "toy": {"categorical": [[4, 0, 0]]}, "unavailable": {"available": 0}}
        for slot, (item_id, row) in enumerate(rows.items()):
            store.learn([new_item(release, item_id, slot, **row)._replace(vector=nearest)])
        items, scores = listed(await ask(filters={"categories": ["books"]}))
        assert items[0] == "likely"
        assert scores == sorted(scores, reverse=True)
        assert not {"toy", "unavailable"} & set(items)

    funnel(release, talk)


def test_a_release_switch_under_load_gives_no_empty_answer(release, funnel, tmp_path, redis_url, milvus_url):
    answers, following = [], []
    switched = threading.Event()

    def switch():
        # As a rollout does: publish the next release, then end the traffic of this one, then remove it.
        following.append(released(tmp_path / "next", redis_url, milvus_url))
        switched.set()

    async def talk(ask, store, models):
        publication = threading.Thread(target=switch)
        publication.start()
        while not switched.is_set() or len(answers) < 10:
            answers.extend(await asyncio.gather(ask(), ask()))
        publication.join()

    async def talk_on(ask, store, models):
        dropped = asyncio.create_task(asyncio.to_thread(drop, milvus_url, release.manifest.number))
        while not dropped.done() or len(answers) < 20:
            answers.extend(await asyncio.gather(ask(), ask()))
        assert len(await dropped) == 1

    funnel(release, talk)
    before = len(answers)
    funnel(following[0], talk_on)
    assert {answer["release"] for answer in answers[before:]} == {following[0].manifest.number}
    assert [answer["degraded"] for answer in answers] == [[]] * len(answers)
    assert {len(answer["items"]) for answer in answers} == {10}
    assert min(len(listed(answer)[0]) for answer in answers) == RETRIEVED


def test_a_killed_milvus_is_replaced_by_the_other_sources_until_it_is_back(tmp_path, redis_url):
    port, log = Ports.free().milvus, tmp_path / "milvus.log"
    process = local_milvus.server(tmp_path / "milvus", port, log)
    with process:
        release = released(tmp_path, redis_url, local_milvus.url(port))
        with serving_published(
            release, redis_url, tmp_path / "server.log", milvus_url=local_milvus.url(port)
        ) as server:

            def ask():
                status, body = server.v1({"user_id": USER, "k": 10, "deadline_ms": 3000})
                assert status == 200
                [answer] = body["predictions"]
                assert len(answer["items"]) == 10
                return answer["degraded"]

            until(lambda: ask() == [])
            os.kill(process.pid, signal.SIGKILL)
            process.stop()
            marked = [ask() for _ in range(8)]
            assert all(len(each) == 1 for each in marked)
            assert {each[0] for each in marked} == {"retriever: MilvusUnavailable", "retriever: circuit open"}
            process.start()
            # Milvus Lite does not load its collections when it starts: the transformer asks it to.
            until(lambda: ask() == [])
            os.kill(process.pid, signal.SIGSTOP)
            assert ask() == ["retriever: no answer within 1800 ms"]
            os.kill(process.pid, signal.SIGCONT)
            until(lambda: ask() == [])


@pytest.mark.parametrize(("address", "message"), [("given", "holds no release {}"), ("", "set MILVUS_URL to its addr")])
def test_a_transformer_refuses_a_milvus_without_its_release(tmp_path, redis_url, milvus_url, address, message):
    release = write_release(tmp_path, next(_numbers), models=("user_tower",))
    publish(release.folder, redis_url, show_progress=False)
    command = [sys.executable, "-m", "recommender_transformer", f"--release-dir={release.folder}"]
    finished = subprocess.run(
        [*command, f"--redis-url={redis_url}", "--predictor_host=127.0.0.1:1"],
        env=os.environ | {"MILVUS_URL": milvus_url if address else ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert message.format(release.manifest.number) in finished.stderr
    assert "Traceback" not in finished.stderr
