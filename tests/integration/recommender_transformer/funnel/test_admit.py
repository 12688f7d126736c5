"""The one entry of requests: decoded, checked against the release, and fixed from then on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError
from time import perf_counter
from typing import Any

import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.release import Release
from winnow.request import InvalidRequest, RecommendRequest

Admit = Callable[..., list[Query]]

PLAIN = {"user_id": "user-1"}
BY_TEXT = {"user_id": "user-1", "query": {"text": "a red ball"}}


@pytest.fixture
def admit(release: Release, models: Any, redis_url: str) -> Admit:
    """Admit the requests of one call."""

    def run(*requests: dict[str, Any], carrier: dict[str, str] | None = None) -> list[Query]:
        async def inside() -> list[Query]:
            store = OnlineStore(release, redis_url)
            runner = Runner(recommender(release, store, models), store.cold_start_state, deadline_ms=150)
            try:
                return await runner.admit([RecommendRequest.model_validate(one) for one in requests], "call", carrier)
            finally:
                await runner.close()
                await store.close()

        return asyncio.run(inside())

    return run


def ids(queries: Sequence[Query]) -> list[str]:
    return [query.request_id for query in queries]


def test_a_single_request_has_the_id_of_its_call_and_several_have_suffixes(admit: Admit) -> None:
    assert ids(admit(PLAIN)) == ["call"]
    assert ids(admit(PLAIN, BY_TEXT, PLAIN)) == ["call-0", "call-1", "call-2"]


def test_each_query_has_the_content_the_deadline_and_the_trace_headers_of_its_request(admit: Admit) -> None:
    plain, by_text = admit(PLAIN, BY_TEXT | {"deadline_ms": 50}, carrier={"traceparent": "00-1-2-01"})
    assert (set(plain.content), set(by_text.content)) == (set(), {"text"})
    assert (plain.deadline_s, by_text.deadline_s) == (0.15, 0.05)
    assert plain.carrier == by_text.carrier == {"traceparent": "00-1-2-01"}
    assert admit(PLAIN)[0].carrier == {}


def test_what_the_stages_find_belongs_to_one_query(admit: Admit) -> None:
    one, other = admit(PLAIN, PLAIN)
    one.trace.degraded.append("ranker: late")
    one.sources.answered.add("trending")
    assert one.user is not other.user
    assert (other.trace.degraded, other.sources.answered) == ([], set())


def test_an_admitted_request_cannot_be_changed(admit: Admit) -> None:
    [query] = admit(PLAIN)
    with pytest.raises(FrozenInstanceError):
        query.request = RecommendRequest(user_id="user-2")  # type: ignore[misc]


def test_the_deadline_begins_after_the_content_of_all_requests_is_decoded(
    admit: Admit, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, decoded = Preparation.prepare, []

    def noted(self: Preparation, modality: Modality, content: Any) -> Any:
        prepared = prepare(self, modality, content)
        decoded.append(perf_counter())
        return prepared

    monkeypatch.setattr(Preparation, "prepare", noted)
    queries = admit(PLAIN, BY_TEXT, BY_TEXT)
    assert len(decoded) == 2
    assert all(query.started >= max(decoded) for query in queries)


def test_an_error_names_the_request_of_the_call(admit: Admit) -> None:
    with pytest.raises(InvalidRequest, match=r"^instances\[1\]\.filters\.categories\[0\]: must be a category"):
        admit(PLAIN, PLAIN | {"filters": {"categories": ["shoes"]}})
    with pytest.raises(InvalidRequest, match=r"^instances\[1\]\.query\.image\.b64: must be base64"):
        admit(PLAIN, {"query": {"image": {"b64": "?"}}})
