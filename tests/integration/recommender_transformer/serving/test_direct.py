"""The direct path of recommendations: which calls take it, and that KServe's own path gives the same responses."""

import gzip
import http.client
import json
import re
import struct
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

V1, V2 = "/v1/models/recommender:predict", "/v2/models/recommender/infer"
JSON = {"content-type": "application/json"}

EVENT = {"user_id": "direct", "item_id": "item-3", "event": "view"}
REQUEST = {
    "user_id": "user-3",
    "k": 4,
    "filters": {"exclude_items": ["item-1"]},
    "diversity": 0.25,
    "objectives": {"buy": 20},
}


def tensor(name: str, datatype: str, *data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)} | more


def text(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def v1(*instances: Any) -> tuple[str, dict[str, str], bytes]:
    return V1, JSON, json.dumps({"instances": instances}).encode()


def v2(*inputs: Any, **more: Any) -> tuple[str, dict[str, str], bytes]:
    return V2, JSON, json.dumps({"inputs": inputs, **more}).encode()


def binary(*users: str, **more: Any) -> tuple[str, dict[str, str], bytes]:
    raw = text(*users)
    described = {"name": "user_id", "datatype": "BYTES", "shape": [len(users)]}
    head = json.dumps({"inputs": [described | {"parameters": {"binary_data_size": len(raw)}}], **more}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return V2, headers, head + raw


def post(server: Any, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; without the date, what says how long the body is, and the ids, which are random."""
    where = urlsplit(server.url)
    with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        kept = {name.lower(): value for name, value in response.getheaders()}
        for name in ("date", "content-length", "transfer-encoding"):
            kept.pop(name, None)
        return response.status, kept, without_ids(response.read())


def without_ids(body: bytes) -> bytes:
    """A body without the ids of recommendations; they are as long as those of the same request."""
    return re.sub(rb'(recommendation_id\\*":\\*")[\w=.-]+', rb"\1", body)


USERS = tensor("user_id", "BYTES", "user-3", "cold-start-user")
PLAIN = {
    "v1": v1(REQUEST),
    "v1 with several requests": v1(REQUEST, {"user_id": "cold-start-user"}),
    "v1 of any content type": (V1, {"content-type": "text/plain; charset=utf-8"}, v1(REQUEST)[2]),
    "v1 with names beyond ASCII": v1({"user_id": "Jürgen 東京"}),
    "v2": v2(USERS, tensor("k", "INT32", 3, 5)),
    "v2 with a charset": (V2, {"content-type": "application/json; charset=utf-8"}, v2(USERS)[2]),
    "v2 with ids and outputs": v2(USERS, id="mine", outputs=[{"name": "scores"}, {"name": "item_ids"}]),
    "v2 with binary outputs": v2(USERS, parameters={"binary_data_output": True}),
    "v2 with one binary output": v2(
        USERS, outputs=[{"name": "answer", "parameters": {"binary_data": True}}, {"name": "scores"}]
    ),
    "binary": binary("user-3", "cold-start-user"),
    "binary with binary outputs": binary("user-3", parameters={"binary_data_output": True}),
}
"""Path, headers and body of calls that take the direct path."""

NOT_PLAIN = {
    "another model": ("/v1/models/events:predict", JSON, json.dumps({"instances": [EVENT]}).encode()),
    "a compressed body": (V1, JSON | {"content-encoding": "gzip"}, gzip.compress(v1(REQUEST)[2])),
    "a CloudEvent": (V1, JSON | {"ce-specversion": "1.0"}, v1(REQUEST)[2]),
    "a structured CloudEvent": (V1, {"content-type": "application/cloudevents+json"}, v1(REQUEST)[2]),
    "no JSON": (V1, JSON, b"{"),
    "an invalid field": v1(REQUEST | {"k": 0}),
    "an unknown tensor": v2(USERS, tensor("uid", "BYTES", "a")),
    "an unknown output": v2(USERS, outputs=[{"name": "items"}]),
    "an output named twice": v2(USERS, outputs=[{"name": "scores"}, {"name": "scores"}]),
    "a suffix of JSON": (V2, {"content-type": "application/merge-patch+json"}, v2(USERS)[2]),
    "a binary call without its length": (V2, {"content-type": "application/octet-stream"}, v2(USERS)[2]),
}
"""Path, headers and body of calls that are left to KServe's application."""

INVALID = {
    "a weight of an unknown event type": v1(REQUEST | {"objectives": {"kiss": 1}}),
    "an unknown category": v1(REQUEST | {"filters": {"categories": ["moon"]}}),
    "a long id": (V1, JSON | {"x-request-id": "x" * 129}, v1(REQUEST)[2]),
    "no text": v1({"user_id": None}),
}


@pytest.mark.parametrize("name", [*PLAIN, *INVALID])
def test_the_direct_path_responds_as_kserve_does(server: Any, name: str) -> None:
    path, given, body = (PLAIN | INVALID)[name]
    headers = {"x-request-id": "same"} | given
    direct = post(server, path, headers, body)
    # A body with a content encoding takes KServe's path.
    through = post(server, path, headers | {"content-encoding": "identity"}, body)
    assert direct == through
    assert direct[0] == (200 if name in PLAIN else 400)


@pytest.mark.parametrize("raw", [False, True], ids=["contents", "raw contents"])
@pytest.mark.parametrize("outputs", [[], ["scores", "item_ids"]], ids=["all outputs", "some outputs"])
def test_grpc_carries_the_values_of_http(server: Any, raw: bool, outputs: list[str]) -> None:
    call = pb.ModelInferRequest(model_name="recommender", id="same")
    given = call.inputs.add(name="user_id", datatype="BYTES", shape=[2])
    if raw:
        call.raw_input_contents.append(text("user-3", "cold-start-user"))
    else:
        given.contents.bytes_contents.extend([b"user-3", b"cold-start-user"])
    for name in outputs:
        call.outputs.add(name=name)
    response = server.infer(call)
    _, _, body = post(server, *v2(USERS, id="same", outputs=[{"name": name} for name in sorted(outputs)]))
    expected = json.loads(body)
    assert (response.id, response.model_name, response.model_version) == ("same", "recommender", "6001")
    # KServe gives the outputs in the model's order, whatever the order of the call.
    assert [(one.name, one.datatype, list(one.shape)) for one in response.outputs] == [
        (one["name"], one["datatype"], one["shape"]) for one in expected["outputs"]
    ]
    assert len(response.raw_output_contents) == (len(response.outputs) if raw else 0)
    for position, output in enumerate(expected["outputs"]):
        data, contents = output["data"], response.outputs[position].contents
        if raw:
            packed = text(*data) if output["datatype"] == "BYTES" else struct.pack(f"<{len(data)}f", *data)
            raw_values = response.raw_output_contents[position]
            if output["name"] == "answer":
                # Without ids the texts are shorter than the lengths before them say.
                assert all(without_ids(raw_values).find(document.encode()) >= 0 for document in data)
                continue
            assert raw_values == packed
        elif output["datatype"] == "BYTES":
            assert [without_ids(value).decode() for value in contents.bytes_contents] == data
        else:
            assert list(contents.fp32_contents) == data


def test_kserves_histograms_count_every_recommendation(server: Any) -> None:
    def counts() -> list[float]:
        stages = ("preprocess", "predict", "postprocess")
        return [server.metric(f'request_{stage}_seconds_count{{model_name="recommender"}}') for stage in stages]

    before = counts()
    call = pb.ModelInferRequest(model_name="recommender")
    call.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
    server.infer(call)
    for path, headers, body in (PLAIN["v1"], PLAIN["v2"], PLAIN["binary"]):
        assert post(server, path, headers, body)[0] == 200
    assert counts() == [count + 4 for count in before]


def test_plain_calls_never_reach_kserves_application(serve_tiny: Any, redis_url: str) -> None:
    # Without this module KServe's application cannot decode a call.
    constants = {"recommender_transformer.serving.server.cloudevents": None}
    with serve_tiny(redis_url, constants=constants) as server:
        taken = {name: post(server, *call)[0] for name, call in PLAIN.items()}
        left = {name: post(server, *call)[0] for name, call in NOT_PLAIN.items()}
    assert taken == dict.fromkeys(PLAIN, 200)
    assert left == dict.fromkeys(NOT_PLAIN, 500)


def test_a_bug_has_the_response_of_kserves_handlers(serve_tiny: Any, redis_url: str) -> None:
    with serve_tiny(redis_url, constants={"recommender_transformer.serving.recommender.Batch": None}) as server:
        status, headers, body = post(server, *PLAIN["v1"])
        assert (status, headers["content-type"]) == (500, "application/json")
        assert json.loads(body) == {"error": "TypeError : 'NoneType' object is not callable"}
        call = pb.ModelInferRequest(model_name="recommender")
        call.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
        with pytest.raises(grpc.RpcError) as raised:
            server.infer(call)
        assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.INTERNAL, "Internal server error")
        assert server.metric("winnow_in_flight") == 0
