"""What the endpoint showed, exported beside the events to one prefix, is read from there by a build."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from tests.support.redis_fixtures import own_redis
from tests.support.tiny_release import ITEMS
from tests.support.transformer_server import Server, serving
from winnow.datasets.ingest import ingest
from winnow.features.extract import extract
from winnow.features.first_clicks import first_clicks
from winnow.feedback.export import export
from winnow.request import Answer


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: the streams have this test's entries alone."""
    with own_redis(tmp_path) as url:
        yield url


def show(server: Server, request_id: str, **request: Any) -> Answer:
    body = json.dumps({"instances": [request]}).encode()
    status, answered = server.post("/v1/models/recommender:predict", body, {"x-request-id": request_id})
    assert status == 200, answered
    answer: Answer = answered["predictions"][0]
    return answer


def test_exported_impressions_train_the_next_build(redis_url: str, tmp_path: Path, aws: None) -> None:
    users = ("user-3", "user-1", "user-2")
    with serving(tmp_path, 7, redis_url) as server:
        answers = [show(server, f"request-{n}", user_id=user, k=5) for n, user in enumerate(users)]
        nobody = show(server, "of nobody", query={"text": "a red ball"}, k=2)
        newcomer = show(server, "of a user without events", user_id="newcomer", k=2)
        clicked = answers[1]["items"][2]["item_id"]
        instances = [
            {"user_id": user, "item_id": item, "event": "view"}
            for user, item in [*((user, "item-1") for user in users), ("user-1", clicked), ("user-1", clicked)]
        ]
        assert server.v1(*instances, model="events")[0] == 200
    boto3.client("s3").create_bucket(Bucket="features")
    done = export("s3://features/data", redis_url, show_progress=False)
    assert (done.events, done.impressions, done.malformed) == (5, 5, 0)
    gone = next(item["item_id"] for item in answers[0]["items"] if item["item_id"] not in ("item-1", clicked))
    items = "\n".join(["item_id", *(f"item-{n}" for n in range(1, ITEMS + 1) if f"item-{n}" != gone)])
    for key, text in {"items.csv": items, "dataset.yaml": "name: shop\nevents: {view: 1, buy: 4}\n"}.items():
        boto3.client("s3").put_object(Bucket="features", Key=f"data/{key}", Body=text.encode())

    dataset = ingest("s3://features/data", tmp_path / "dataset")
    expected = [
        (f"request-{n}", user, item["item_id"], item["position"])
        for n, (user, answer) in enumerate(zip(users, answers, strict=True))
        for item in answer["items"]
        if item["item_id"] != gone
    ]
    columns = (dataset.impressions[name].to_pylist() for name in ("request_id", "user_id", "item_id", "position"))
    assert list(zip(*columns, strict=True)) == expected
    assert set(dataset.impressions["propensity"].to_pylist()) == {1.0}
    left_out = {problem.what: problem.count for problem in dataset.account.impressions.reasons}
    removed = sum(item["item_id"] == gone for answer in (*answers, nobody, newcomer) for item in answer["items"])
    assert left_out == {
        "of a request without a user": 2,
        "of a user without an event and without a row of users": 2,
        "not in items.csv, or no longer": removed,
    }

    features = extract(dataset, {})
    shown, log = features.impressions, features.interactions
    assert [str(features.user_ids[user]) for user in shown.user] == list(users)
    rows = first_clicks(features)
    for (_, user, item, _), row in zip(expected, rows.tolist(), strict=True):
        assert (row >= 0) == ((user, item) == ("user-1", clicked) or item == "item-1")
        if row >= 0:
            assert str(features.item_ids[log.item[row]]) == item
    assert np.count_nonzero(rows >= 0) >= 1
