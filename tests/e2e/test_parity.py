"""The served list equals the same funnel computed offline from the PyTorch models, with Triton and without."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.models import Ranked, Retrieved, Tensors
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow.models.served import ServedRetriever
from winnow.request import Answer, RecommendRequest
from winnow.signatures import RANKER, RETRIEVER
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.trained import TrainedRetriever


class TorchModels:
    """The models that training wrote, before any export."""

    def __init__(self, folder: Path, candidates: int) -> None:
        trained = TrainedRetriever.load(folder / "retriever")
        self._retriever = ServedRetriever(trained.user_tower, trained.item_vectors, candidates, True).eval()
        self._ranker = TrainedRanker.load(folder / "ranker").model.eval()

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        with torch.inference_mode():
            items, scores, vectors = self._retriever(*(torch.tensor(inputs[spec.name]) for spec in RETRIEVER.inputs))
        return Retrieved(items.numpy(), scores.numpy(), vectors.numpy())

    async def rank(self, inputs: Tensors) -> Ranked:
        with torch.inference_mode():
            probabilities, _ = self._ranker(*(torch.tensor(inputs[spec.name]) for spec in RANKER.inputs))
        return Ranked(probabilities.numpy())


def test_served_answers_equal_the_torch_models(each, active_users: Callable[[int], list[str]]) -> None:
    release = each.release
    # Runs are named after their start time: the first one made release 1.
    trained = min((each.winnow.home / "pipelines").glob("*/**/train"))
    models = TorchModels(trained, release.manifest.candidates["retriever"])
    users = [*active_users(20), "someone-new"]

    async def offline() -> list[Answer]:
        store = OnlineStore(release, f"redis://127.0.0.1:{each.ports.redis}/0")
        try:
            await live_items.catch_up(store)
            runner = Runner(recommender(release, store, models), store.cold_start_state, deadline_ms=10_000)
            requests = [RecommendRequest(user_id=user, k=50, debug=True) for user in users]
            answers = []
            for request in requests:
                [query] = await runner.admit([request], "test")
                answers.append(await runner.recommend(query))
            return answers
        finally:
            await runner.close()
            await store.close()

    for user, expected in zip(users, asyncio.run(offline()), strict=True):
        answer = each.recommend(user, k=50, debug=True, deadline_ms=10_000)
        assert answer["degraded"] == expected["degraded"] == []
        candidates = {candidate["item_id"] for candidate in answer["trace"]["candidates"]}
        assert candidates == {candidate["item_id"] for candidate in expected["trace"]["candidates"]}
        assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in expected["items"]]
        for field in ("score", "click", "conversion", "value"):
            given = [item[field] for item in answer["items"]]
            np.testing.assert_allclose(given, [item[field] for item in expected["items"]], atol=1e-3)


def test_triton_and_the_embedded_predictor_give_the_same_answers(
    served, embedded, active_users: Callable[[int], list[str]]
) -> None:
    users: list[str | None] = [*active_users(40), "someone-new"]
    requests: list[dict[str, object]] = [{"user_id": user, "k": 50} for user in users]
    requests += [{"query": {"text": "a small red lamp"}, "user_id": user, "k": 20} for user in (None, *users[:5])]
    requests += [{"user_id": users[0], "repeats": "allow", "diversity": 0.0}]

    def ask(server, request: dict[str, object]) -> dict[str, object]:
        body = {"instances": [{"deadline_ms": 10_000, **request}]}
        [answer] = server.http.post("/v1/models/recommender:predict", json=body).json()["predictions"]
        assert answer["degraded"] == []
        return answer

    for request in requests:
        by_triton, by_itself = ask(served, request)["items"], ask(embedded, request)["items"]
        assert [item["item_id"] for item in by_itself] == [item["item_id"] for item in by_triton]
        for field in ("score", "click", "conversion", "value"):
            given = [[item[field] for item in items if item[field] is not None] for items in (by_itself, by_triton)]
            np.testing.assert_allclose(*given, atol=1e-5)
