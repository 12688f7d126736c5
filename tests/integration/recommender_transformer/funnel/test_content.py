"""Queries by text, picture and sound: alone, and blended with the user's preferences."""

import asyncio
import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.content.media_decoder import MediaDecoder
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.funnel.scorers.content import WEIGHT
from recommender_transformer.pipeline import recommender
from tests.support.media import picture, sound
from tests.support.tiny_release import write_release
from winnow.encoders.inputs import EncoderInputs, Modality, TextInput
from winnow.encoders.preparation import Preparation
from winnow.release import Release
from winnow.request import Answer, InvalidRequest, Media, RecommendRequest

Recommend = Callable[..., Answer]


def indices(answer: Answer) -> list[int]:
    return [int(item["item_id"].removeprefix("item-")) for item in answer["items"]]


def scores(answer: Answer) -> list[float]:
    return [item["score"] for item in answer["items"]]


def asked(models: Any) -> list[str]:
    return [name for name, _ in models.asked]


def test_a_query_without_a_user_gives_the_nearest_items_without_retriever_and_ranker(
    recommend: Recommend, release: Release, models: Any
) -> None:
    answer = recommend(None, query={"text": "a red ball"}, k=10, diversity=0.0)
    assert (answer["user_id"], answer["degraded"]) == (None, [])
    assert asked(models) == ["text_encoder", "item_tower"]
    given = dict(models.asked)["item_tower"]
    assert {name: (array.shape, array.dtype.name) for name, array in given.items()} == {
        "item_categorical": ((1, 3), "int32"),
        "item_numeric": ((1, 2), "float32"),
        "embeddings": ((1, 12), "float32"),
    }
    # Of the three modalities, in alphabetical order, only the text is present.
    assert not given["embeddings"][0, :8].any()
    assert np.linalg.norm(given["embeddings"][0, 8:]) == pytest.approx(1, abs=1e-5)
    rows = release.array("item_rows")
    assert all(rows["available"][index] for index in indices(answer))
    assert scores(answer) == sorted(scores(answer), reverse=True)
    assert all("content" in item["sources"] and item["click"] is None for item in answer["items"][:5])


@pytest.mark.parametrize("user", [None, "user-3"])
def test_a_search_has_no_diversity_unless_it_is_asked_for(recommend: Recommend, user: str | None) -> None:
    answer = recommend(user, query={"text": "a red ball"}, k=20)
    assert scores(answer) == sorted(scores(answer), reverse=True)
    assert indices(answer) == indices(recommend(user, query={"text": "a red ball"}, k=20, diversity=0.0))
    assert indices(answer) != indices(recommend(user, query={"text": "a red ball"}, k=20, diversity=0.6))


@pytest.mark.parametrize("modalities", [("image",), ("audio",), ("audio", "image", "text")])
def test_every_modality_is_encoded_and_all_form_one_query(
    recommend: Recommend, models: Any, modalities: tuple[str, ...]
) -> None:
    everything = {"audio": sound(), "image": picture(), "text": "a blue book"}
    answer = recommend(None, query={name: everything[name] for name in modalities}, k=5)
    assert answer["degraded"] == []
    assert len(answer["items"]) == 5
    assert sorted(asked(models)[:-1]) == [f"{name}_encoder" for name in modalities]
    assert asked(models)[-1] == "item_tower"


def test_different_pictures_find_different_items(recommend: Recommend) -> None:
    red, blue = (recommend(None, query={"image": picture(colour)}, k=10) for colour in ("red", "blue"))
    assert indices(red) != indices(blue)


def test_with_a_user_half_of_the_score_is_the_querys(recommend: Recommend, release: Release, models: Any) -> None:
    answer = recommend("user-3", query={"text": "a red ball"}, k=100, diversity=0.0)
    assert answer["degraded"] == []
    assert set(asked(models)) == {"text_encoder", "item_tower", "retriever", "ranker"}
    tower = dict(models.asked)["item_tower"]["embeddings"]
    assert tower.any()
    alone = {item["item_id"]: item["score"] for item in recommend(None, query={"text": "a red ball"}, k=100)["items"]}
    plain = {item["item_id"]: item["score"] for item in recommend("user-3", k=100)["items"]}
    both = [item for item in answer["items"] if item["item_id"] in alone and item["item_id"] in plain]
    assert len(both) >= 5
    # The score is a fixed weighting of the two, up to the scales of the request's candidates.
    blended = np.array([item["score"] for item in both])
    columns = [[alone[item["item_id"]], plain[item["item_id"]], 1.0] for item in both]
    shares, *_ = np.linalg.lstsq(np.array(columns), blended, rcond=None)
    np.testing.assert_allclose(np.array(columns) @ shares, blended, atol=1e-4)
    assert (shares[:2] > 0).all()
    assert WEIGHT == 0.5


def test_a_cold_start_users_query_is_answered(recommend: Recommend, models: Any) -> None:
    answer = recommend("cold-start-user", query={"text": "a red ball"}, k=10, diversity=0.0)
    alone = recommend(None, query={"text": "a red ball"}, k=10, diversity=0.0)
    assert indices(answer) == indices(alone)
    assert "ranker" not in asked(models)


def test_request_filters_apply_to_queries(recommend: Recommend, release: Release) -> None:
    answer = recommend(None, query={"text": "a red ball"}, k=10, filters={"categories": ["toys"]})
    assert (release.array("item_rows")["categorical"][indices(answer), 0] == 4).all()


@pytest.mark.parametrize("broken", ["text_encoder", "item_tower"])
def test_without_encoders_the_other_sources_answer(recommend: Recommend, models: Any, broken: str) -> None:
    models.broken = {broken}
    answer = recommend("user-3", query={"text": "a red ball"}, k=10)
    assert answer["degraded"] == ["content: ConnectionError"]
    assert indices(answer) == indices(recommend("user-3", k=10, diversity=0.0))
    anonymous = recommend(None, query={"text": "a red ball"}, k=10)
    assert anonymous["degraded"] == ["content: ConnectionError"]
    assert len(anonymous["items"]) == 10


def test_requests_without_a_query_skip_content_and_new_items(recommend: Recommend, models: Any) -> None:
    answer = recommend("user-3", k=5, debug=True)
    turns = {step["component"] for step in answer["trace"]["stages"]}
    assert not turns & {"content", "content_score", "new_items"}
    assert set(asked(models)) == {"retriever", "ranker"}


def test_a_modality_without_an_encoder_is_refused(models: Any, redis_url: str, tmp_path: Path) -> None:
    release = write_release(tmp_path, 1, inputs=EncoderInputs(text=TextInput(dimension=4, context_length=8)))
    bare = write_release(tmp_path, 2, inputs=EncoderInputs())

    def ask(release: Release, query: dict[str, Any]) -> None:
        async def run() -> None:
            store = OnlineStore(release, redis_url)
            runner = Runner(recommender(release, store, models), store.cold_start_state)
            try:
                await runner.admit([RecommendRequest.model_validate({"query": query})], "test")
            finally:
                await runner.close()
                await store.close()

        asyncio.run(run())

    ask(release, {"text": "a ball"})
    with pytest.raises(InvalidRequest, match=r"query\.image: this release has no image encoder; it has text"):
        ask(release, {"image": picture()})
    with pytest.raises(InvalidRequest, match=r"query\.text: this release has no text encoder; it has none"):
        ask(bare, {"text": "a ball"})


def test_an_error_in_a_query_is_named_over_http(server: Any) -> None:
    field = "instances[0].query"
    url = {"url": "http://169.254.169.254/latest/meta-data"}
    cases: list[tuple[Any, str]] = [
        ({}, f"{field}: must have at least one of text, image, audio"),
        ({"text": ""}, f"{field}.text: must be a string of 1 to 2000 characters, got ''"),
        ({"text": "x" * 2001}, f"{field}.text: must be a string of 1 to 2000 characters, got 'xxx"),
        ({"text": 5}, f"{field}.text: must be a string"),
        ({"image": url}, f"{field}.image.url: is not a field; the fields are b64; URLs are not fetched"),
        ({"image": picture() | url}, f"{field}.image.url: is not a field; the fields are b64; URLs are not fetched"),
        (
            {"image": "http://x/y.png"},
            f'{field}.image: must be an object {{"b64": ...}} with the image in',
        ),
        ({"image": {}}, f"{field}.image.b64: is required, and must be base64 text of 1 to 4194304 bytes"),
        ({"image": {"b64": ""}}, f"{field}.image.b64: must be base64 text"),
        ({"image": {"b64": "@@@@"}}, f"{field}.image.b64: must be base64: "),
        ({"image": {"b64": "abc"}}, f"{field}.image.b64: must be base64: "),
        ({"image": {"b64": "A" * 5_592_412}}, f"{field}.image.b64: must be base64 text of 1 to 4194304 bytes"),
        ({"image": {"b64": "aGVsbG8="}}, f"{field}.image: not a readable image"),
        ({"image": sound()}, f"{field}.image: not a readable image"),
        ({"audio": picture()}, f"{field}.audio: not a readable sound"),
        ({"video": {}}, f"{field}.video: is not a field; the fields are text, image, audio"),
        ([], f"{field}: must be an object, got []"),
    ]
    for query, message in cases:
        status, answer = server.v1({"query": query})
        assert (status, answer["error"][: len(message)]) == (400, message)
    status, answer = server.v1({"k": 5})
    assert (status, answer["error"]) == (
        400,
        "instances[0].user_id: is required, and must be a string of 1 to 256 characters, unless there is one of query, "
        "items, like, rank, list, recommendation_id",
    )
    status, answer = server.v1({"user_id": "user-1"}, {"query": {"text": "a ball", "image": {"b64": "aGVsbG8="}}})
    assert (status, answer["error"][:45]) == (400, "instances[1].query.image: not a readable imag")


def test_a_query_is_the_same_over_every_protocol(server: Any) -> None:

    query = {"text": "a red ball", "image": picture()}
    status, v1 = server.v1({"query": query, "k": 5}, {"user_id": "user-3", "query": query, "k": 5})
    assert status == 200
    lists = [[item["item_id"] for item in answer["items"]] for answer in v1["predictions"]]
    assert lists[0] != lists[1]
    encoded = json.dumps(query)

    def tensor(name: str, datatype: str, *data: Any) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)}

    _, alone = server.v2(tensor("query", "BYTES", encoded), tensor("k", "INT32", 5))
    assert alone["outputs"][0]["data"] == lists[0]
    _, led = server.v2(tensor("user_id", "BYTES", "user-3"), tensor("query", "BYTES", encoded), tensor("k", "INT32", 5))
    assert led["outputs"][0]["data"] == lists[1]
    _, two = server.v2(tensor("user_id", "BYTES", "user-3"), tensor("query", "BYTES", encoded, encoded))
    assert two["outputs"][0]["shape"] == [2, 10]
    status, refused = server.v2(tensor("query", "BYTES", encoded, json.dumps({"image": {"b64": "aGVsbG8="}})))
    assert (status, refused["error"][:38]) == (400, "instances[1].query.image: not a readab")
    missing = "user_id: is required, unless there is one of query, items, like, rank, list, recommendation_id"
    assert server.v2(tensor("k", "INT32", 5))[1]["error"] == missing
    request = pb.ModelInferRequest(model_name="recommender")
    request.inputs.add(name="query", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", len(encoded)) + encoded.encode())
    request.inputs.add(name="k", datatype="INT32", shape=[1])
    request.raw_input_contents.append(struct.pack("<i", 5))
    raw = server.infer(request).raw_output_contents[0]
    assert [item.encode() in raw for item in lists[0]] == [True] * 5


def test_reading_does_not_hold_the_event_loop(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a picture is decoded, other requests are served."""
    decoding, resume = threading.Event(), threading.Event()
    prepare = Preparation.prepare

    def paused(self: Preparation, modality: Modality, content: Any) -> Any:
        decoding.set()
        assert resume.wait(30), "the event loop did not run while the content was decoded"
        return prepare(self, modality, content)

    monkeypatch.setattr(Preparation, "prepare", paused)
    reader = MediaDecoder(Preparation.load(release.folder))

    async def run() -> set[str]:
        reading = asyncio.create_task(reader.decode({"image": Media(**picture()), "text": "x"}, "here"))
        assert await asyncio.to_thread(decoding.wait, 30)
        assert not reading.done()
        resume.set()
        return set(await reading)

    assert asyncio.run(run()) == {"image", "text"}
