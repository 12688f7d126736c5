"""Answers of the running stack, over every protocol."""

import json
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tests.support.until import until
from winnow import client

ActiveUsers = Callable[[int], list[str]]


def test_curl_and_grpc_get_the_same_list(each, active_users: ActiveUsers) -> None:
    base = f"http://127.0.0.1:{each.ports.http}"

    def curl(path: str, body: dict[str, object]) -> dict[str, object]:
        header = "Content-Type: application/json"
        command = ["curl", "-s", "--noproxy", "*", "-H", header, f"{base}{path}", "-d", json.dumps(body)]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    with grpcclient.InferenceServerClient(f"127.0.0.1:{each.ports.grpc}") as grpc:
        for user in [*active_users(5), "someone-new"]:
            v1 = curl("/v1/models/recommender:predict", {"instances": [{"user_id": user, "k": 7}]})
            tensors = [
                {"name": "user_id", "datatype": "BYTES", "shape": [1], "data": [user]},
                {"name": "k", "datatype": "INT32", "shape": [1], "data": [7]},
            ]
            v2 = curl("/v2/models/recommender/infer", {"inputs": tensors})
            name = grpcclient.InferInput("user_id", [1], "BYTES")
            name.set_data_from_numpy(np.array([user], np.object_))
            k = grpcclient.InferInput("k", [1], "INT32")
            k.set_data_from_numpy(np.array([7], np.int32))
            result = grpc.infer("recommender", [name, k])

            expected = [(item["item_id"], item["score"]) for item in v1["predictions"][0]["items"]]
            outputs = {output["name"]: output["data"] for output in v2["outputs"]}
            assert len(expected) == 7
            assert outputs["item_ids"] == [item_id for item_id, _ in expected]
            assert [name.decode() for name in result.as_numpy("item_ids")[0]] == outputs["item_ids"]
            np.testing.assert_allclose(outputs["scores"], [score for _, score in expected], atol=1e-6)
            np.testing.assert_allclose(result.as_numpy("scores")[0], outputs["scores"], atol=1e-6)


def test_seen_and_unavailable_items_are_left_out_and_none_repeats(each, active_users: ActiveUsers) -> None:
    release = each.release
    ids = release.strings("item_ids")
    unavailable = set(ids[1:][release.array("item_rows")["available"][1:] == 0].tolist())
    users = {user: row for row, user in enumerate(release.array("user_ids").tolist())}
    offsets, log = release.array("offsets"), release.array("item")
    assert unavailable
    for user in active_users(25):
        given = [item["item_id"] for item in each.recommend(user, k=100)["items"]]
        seen = set(ids[log[offsets[users[user]] : offsets[users[user] + 1]]].tolist())
        assert len(given) == 100
        assert len(set(given)) == 100
        assert not seen & set(given)
        assert not unavailable & set(given)


def test_an_unknown_user_gets_trending_items(each) -> None:
    answer = each.recommend("cold-start-user", k=10)
    assert len(answer["items"]) == 10
    assert answer["degraded"] == []
    # Another test may have added items.
    assert {source for item in answer["items"] for source in item["sources"]} - {"new_items"} == {"trending"}


def test_an_items_event_removes_it_from_the_next_answers(each, active_users: ActiveUsers) -> None:
    [user] = active_users(30)[-1:]
    first = each.recommend(user)["items"][0]["item_id"]
    event = {"user_id": user, "item_id": first, "event": "view"}
    posted = each.http.post("/v1/models/events:predict", json={"instances": [event]})
    assert posted.status_code == 200, posted.text
    until(lambda: all(item["item_id"] != first for item in each.recommend(user, k=100)["items"]), 30)


def test_the_trace_accounts_for_every_candidate(each, active_users: ActiveUsers) -> None:
    trace = each.recommend(active_users(1)[0], k=10, debug=True)["trace"]
    candidates = trace["candidates"]
    assert sum("removed_by" in candidate for candidate in candidates) == sum(trace["removed"].values())
    ranked = [candidate for candidate in candidates if "ranked" in candidate]
    assert len(ranked) + sum(trace["removed"].values()) == len(candidates)
    assert sorted(candidate["position"] for candidate in candidates if "position" in candidate) == list(range(10))
    stages = {step["stage"] for step in trace["stages"]}
    assert stages == {"query_hydrators", "sources", "item_hydrators", "filters", "scorers", "orderers"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user_id": "u", "k": 0}, "k"),
        ({"user_id": "u", "k": 501}, "k"),
        ({"user_id": "u", "colour": "red"}, "colour"),
        ({"user_id": ""}, "user_id"),
    ],
)
def test_a_wrong_request_is_refused_by_name_over_every_protocol(served, fields: dict[str, object], named: str) -> None:
    v1 = served.http.post("/v1/models/recommender:predict", json={"instances": [fields]})
    assert v1.status_code == 400
    assert named in v1.text
    tensors = [
        {
            "name": name,
            "datatype": "BYTES" if isinstance(value, str) else "INT32",
            "shape": [1],
            "data": [value],
        }
        for name, value in fields.items()
    ]
    v2 = served.http.post("/v2/models/recommender/infer", json={"inputs": tensors})
    assert v2.status_code == 400
    assert named in v2.text
    with grpcclient.InferenceServerClient(f"127.0.0.1:{served.ports.grpc}") as grpc:
        inputs = []
        for name, value in fields.items():
            kind = "BYTES" if isinstance(value, str) else "INT32"
            tensor = grpcclient.InferInput(name, [1], kind)
            tensor.set_data_from_numpy(np.array([value], np.object_ if kind == "BYTES" else np.int32))
            inputs.append(tensor)
        with pytest.raises(InferenceServerException, match=named) as refused:
            grpc.infer("recommender", inputs)
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_body_too_large_is_refused(served) -> None:
    body = {"instances": [{"user_id": "u", "filters": {"exclude_items": ["x" * 250] * 900}}] * 60}
    assert served.http.post("/v1/models/recommender:predict", json=body).status_code == 413


def test_recommend_uses_the_running_stack(served, active_users: ActiveUsers) -> None:
    [user] = active_users(1)
    printed = served.winnow("recommend", user, "-k", "3", "--json")
    assert printed.returncode == 0, printed.stderr
    answer = json.loads(printed.stdout)
    assert [item["position"] for item in answer["items"]] == [0, 1, 2]
    readable = served.winnow("recommend", user, "-k", "3").stdout
    assert all(item["item_id"] in readable for item in answer["items"])


def test_a_second_stack_in_the_same_home_is_refused(served) -> None:
    refused = served.winnow("up", "--port-base=31000")
    assert refused.returncode == 1
    assert "winnow down" in refused.stderr


def test_the_three_clients_agree(served, active_users: ActiveUsers) -> None:
    request = {"user_id": active_users(2)[1], "k": 5, "filters": {"exclude_items": ["i00001"]}}
    with grpcclient.InferenceServerClient(f"127.0.0.1:{served.ports.grpc}") as grpc:
        answers = [
            client.over_http_v1(served.http, [request]),
            client.over_http_v2(served.http, [request]),
            client.over_grpc(grpc, [request]),
        ]
    lists = [[item["item_id"] for item in answer["items"]] for [answer] in answers]
    assert lists[0] == lists[1] == lists[2]
    assert len(lists[0]) == 5
