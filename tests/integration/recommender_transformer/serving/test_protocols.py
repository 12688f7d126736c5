"""The KServe server over HTTP v1, HTTP v2 and gRPC v2, in a process of its own."""

import json
import struct
import subprocess
import sys
import time
from typing import Any

import grpc
import psutil
import pytest
from redis import Redis
from tritonclient.grpc import service_pb2 as pb

from winnow import moments, protocols
from winnow.ports import EVERYWHERE
from winnow.release import Release
from winnow.store.keys import EVENTS

SECONDS = "milliseconds since the epoch, but looks like seconds: multiply by 1000"


def tensor(name: str, datatype: str, *data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)}


def raw_request(*tensors: tuple[str, str, list[int], bytes], model: str = "recommender") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model)
    for name, datatype, shape, raw in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    return request


def text(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def test_all_protocols_give_the_same_list(server: Any) -> None:
    _, v1 = server.v1({"user_id": "user-3", "k": 7}, {"user_id": "cold-start-user", "k": 7})
    _, v2 = server.v2(tensor("user_id", "BYTES", "user-3", "cold-start-user"), tensor("k", "INT32", 7))
    grpc_v2 = server.infer(
        raw_request(
            ("user_id", "BYTES", [2], text("user-3", "cold-start-user")), ("k", "INT64", [1], struct.pack("<q", 7))
        )
    )
    lists = [[item["item_id"] for item in answer["items"]] for answer in v1["predictions"]]
    outputs = {output["name"]: output for output in v2["outputs"]}
    assert outputs["item_ids"]["data"] == lists[0] + lists[1]
    assert outputs["item_ids"]["shape"] == [2, 7]
    raw = dict(zip([output.name for output in grpc_v2.outputs], grpc_v2.raw_output_contents, strict=True))
    assert raw["item_ids"] == text(*lists[0], *lists[1])
    scores = [item["score"] for answer in v1["predictions"] for item in answer["items"]]
    assert outputs["scores"]["data"] == pytest.approx(scores)
    assert struct.unpack("<14f", raw["scores"]) == pytest.approx(scores)
    assert [json.loads(answer)["items"] for answer in outputs["answer"]["data"]] == [
        answer["items"] for answer in v1["predictions"]
    ]
    assert v1["predictions"][0]["release"] == 6001
    assert grpc_v2.model_version == v2["model_version"] == "6001"


def test_every_field_may_be_a_tensor(server: Any) -> None:
    left_out = server.v1({"user_id": "user-3", "k": 1})[1]["predictions"][0]["items"][0]["item_id"]
    fields = {"categories": ["toys", "books"], "exclude_items": [left_out]}
    request = {"user_id": "user-3", "k": 5, "debug": True, "filters": fields, "diversity": 0.5, "deadline_ms": 5000}
    request |= {"objectives": {"buy": 50}, "repeats": "allow"}
    status, v1 = server.v1(request)
    assert status == 200
    status, v2 = server.v2(
        tensor("user_id", "BYTES", "user-3"),
        tensor("k", "INT32", 5),
        tensor("debug", "BOOL", True),
        tensor("filters", "BYTES", json.dumps(fields)),
        tensor("diversity", "FP32", 0.5),
        tensor("deadline_ms", "INT32", 5000),
        tensor("objectives", "BYTES", '{"buy": 50}'),
        tensor("repeats", "BYTES", "allow"),
        outputs=[{"name": "answer"}],
        id="my-own-id",
    )
    assert status == 200
    assert [output["name"] for output in v2["outputs"]] == ["answer"]
    answer = json.loads(v2["outputs"][0]["data"][0])
    assert answer["items"] == v1["predictions"][0]["items"]
    assert answer["request_id"] == v2["id"] == "my-own-id"
    assert {step["stage"] for step in answer["trace"]["stages"]} >= {"sources", "filters", "scorers"}


def test_all_protocols_agree_on_objectives_and_repeats(server: Any) -> None:
    asked: list[protocols.Instance] = [
        {"user_id": user, "k": 20, "debug": True, "objectives": {"buy": weight, "view": -0.5}, "repeats": repeats}
        for user, weight, repeats in (("user-3", 50, "allow"), ("user-3", -1, "demote"), ("user-4", 0, "hide"))
    ]
    with protocols.http(server.ports[0]) as http, protocols.grpc(server.ports[1]) as calls:
        v1, v2, grpc_v2 = (
            protocols.over_http_v1(http, asked),
            protocols.over_http_v2(http, asked),
            protocols.over_grpc(calls, asked),
        )
    for request, *answers in zip(asked, v1, v2, grpc_v2, strict=True):
        assert [answer["items"] for answer in answers] == [answers[0]["items"]] * 3
        for answer in answers:
            assert answer["trace"]["objectives"] == request["objectives"] | {"dislike": -5}
            assert answer["trace"]["repeats"] == request["repeats"]
    assert all(isinstance(item[name], float) for item in v1[0]["items"] for name in ("click", "conversion", "value"))
    seen = {c["item_id"] for c in v1[2]["trace"]["candidates"] if c.get("removed_by") == "seen"}
    assert seen
    assert not seen & {item["item_id"] for item in v1[2]["items"]}


def test_a_short_answer_is_padded(server: Any) -> None:
    items = [f"item-{n}" for n in range(1, 296)]
    filters = json.dumps({"exclude_items": items})
    _, v2 = server.v2(tensor("user_id", "BYTES", "cold-start-user"), tensor("filters", "BYTES", filters))
    outputs = {output["name"]: output["data"] for output in v2["outputs"]}
    assert outputs["item_ids"][5:] == [""] * 5
    assert outputs["scores"][5:] == [0.0] * 5
    assert all(outputs["item_ids"][:5])


GOOD = tensor("user_id", "BYTES", "user-3")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([tensor("uid", "BYTES", "a")], "'uid': is not an input; the inputs are user_id, query,"),
        ([tensor("k", "INT32", 5)], "user_id: is required"),
        ([GOOD, GOOD], "user_id: is given twice"),
        ([GOOD, tensor("k", "FP32", 5.0)], "k: must be a tensor of INT32 or INT64, got 'FP32'"),
        ([GOOD, tensor("k", "INT32", 501)], "instances[0].k: must be a whole number between 1 and 500, got 501"),
        ([GOOD, tensor("k", "INT32", "5")], "instances[0].k: must be a whole number between 1 and 500, got '5'"),
        ([GOOD, tensor("filters", "BYTES", "{")], "filters[0]: must be JSON"),
        ([GOOD, tensor("k", "INT32", 1, 2)], "k: must have 1 or 1 elements"),
        ([GOOD, tensor("objectives", "BYTES", "{")], "objectives[0]: must be JSON"),
        (
            [GOOD, tensor("objectives", "BYTES", '{"buy": "1"}')],
            "instances[0].objectives.buy: must be a number between",
        ),
        (
            [GOOD, tensor("objectives", "BYTES", '{"kiss": 1}')],
            "instances[0].objectives: must have event types of the release as keys (view, buy, dislike), got 'kiss'",
        ),
        ([GOOD, tensor("repeats", "BYTES", "show")], "instances[0].repeats: must be hide, allow or demote, got 'show'"),
        ([GOOD | {"shape": [2]}], "user_id: must have 2 elements for its shape [2], got 1"),
        ([GOOD | {"shape": [-1]}], "user_id: must have shape [n]"),
        ([GOOD | {"shape": [1, 1, 1]}], "user_id: must have shape [n]"),
        ([tensor("user_id", "BYTES", *["a"] * 65)], "user_id: must have shape [n], n from 1 to 64"),
        ([GOOD | {"data": [{"a": 1}]}], "user_id[0]: must be a string"),
        ([GOOD | {"data": ["\ud800"]}], "user_id[0]: must be UTF-8 text"),
        ([GOOD, tensor("filters", "BYTES", '{"categories": ["\ud800"]}')], "filters[0]: must be UTF-8 text"),
    ],
)
def test_wrong_tensors_are_400_and_named(server: Any, inputs: list[Any], message: str) -> None:
    status, answer = server.v2(*inputs)
    assert status == 400
    assert answer["error"].startswith(message)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "message"),
    [
        ("/v1/models/recommender:predict", b'{"inst', {}, 400, "body: "),
        ("/v1/models/recommender:predict", b"", {}, 400, "body: "),
        ("/v1/models/recommender:predict", b"[]", {}, 400, "body: must be an object"),
        ("/v1/models/recommender:predict", b'{"instances": [], "x": 1}', {}, 400, "'x': is not a field"),
        ("/v1/models/recommender:predict", b"\xff\xfe", {"Content-Type": "image/png"}, 400, "body: must be JSON"),
        ("/v1/models/recommender:predict", b'{"instances":[{"user_id":"\\ud800"}]}', {}, 400, "body: "),
        ("/v1/models/recommender:predict", b"x" * (8 << 20) + b"x", {}, 413, "body: must be at most 8388608 bytes"),
        ("/v1/models/recommender:explain", b'{"instances":[{"user_id":"a"}]}', {}, 400, "explain: is not supported"),
        ("/v1/models/nothing:predict", b"{}", {}, 404, "Model with name nothing"),
        ("/v2/models/recommender/infer", b'{"inp', {}, 400, ""),
        ("/v2/models/recommender/infer", b"{}", {}, 400, "inputs: Field required"),
        ("/v2/models/recommender/infer", b'{"inputs": [{"name": "k"}]}', {}, 400, "inputs.0."),
        ("/v2/models/recommender/infer", b'{"inputs":[]}', {}, 400, "user_id: is required"),
        ("/v2/models/recommender/infer", b'{"id":"\\ud800","inputs":[]}', {}, 400, "id: must be UTF-8 text, got"),
        ("/v2/models/recommender/versions/1/infer", b"{}", {}, 404, "model_version: must not be in the path, got '1'"),
        ("/v2/repository/models/recommender/unload", b"", {}, 400, "model recommender: models cannot be"),
    ],
)
def test_malformed_calls_are_4xx(
    server: Any, path: str, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    got, answer = server.post(path, body, headers)
    assert (got, answer["error"][: len(message)]) == (status, message)


@pytest.mark.parametrize("size", ["abc", "7", "100000", "-5"])
def test_binary_tensors_that_do_not_fit_are_400(server: Any, size: str) -> None:
    head = {"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}]}
    body = json.dumps(head).encode() + b"\xff\xff\xff\x7fabc"
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": size}
    for length in (size, str(len(body) - 7)):
        status, answer = server.post(
            "/v2/models/recommender/infer", body, headers | {"Inference-Header-Content-Length": length}
        )
        assert status == 400
        assert answer["error"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([("uid", "BYTES", [1], text("a"))], "'uid': is not an input"),
        ([("user_id", "BYTES", [1], b"\x05\0\0\0ab")], "user_id: its binary data is truncated"),
        ([("user_id", "BYTES", [1], b"\x05\0")], "user_id: its binary data is truncated"),
        ([("user_id", "BYTES", [2], text("a"))], "user_id: must have 2 elements"),
        ([("user_id", "BYTES", [1], b"\x01\0\0\0\xff")], "user_id[0]: must be UTF-8 text"),
        (
            [("user_id", "BYTES", [1], text("a")), ("k", "INT32", [1], b"\0\0")],
            "k: must be 4 bytes for INT32 [1], got 2",
        ),
        ([("user_id", "BYTES", [1], text("a")), ("k", "INT32", [1], struct.pack("<i", -1))], "instances[0].k: must be"),
        ([("user_id", "BYTES", [1], text("a")), ("k", "COMPLEX", [1], b"")], "invalid content type"),
        ([("user_id", "BYTES", [1], text("a" * 257))], "instances[0].user_id: must be a string of 1 to 256"),
    ],
)
def test_wrong_calls_over_grpc_are_invalid_argument(server: Any, tensors: list[Any], message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(raw_request(*tensors))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(message)


def test_grpc_bounds_messages_and_pins_the_version(server: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(raw_request(("user_id", "BYTES", [1], b"x" * (8 << 20))))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    request = raw_request(("user_id", "BYTES", [1], text("a")))
    request.model_version = "5"
    with pytest.raises(grpc.RpcError, match="model_version: this server is pinned to release 6001, got '5'"):
        server.infer(request)
    request = pb.ModelInferRequest(model_name="recommender")
    request.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
    assert server.infer(request).outputs[0].name == "item_ids"


def test_events_are_checked_and_stored(server: Any, redis_url: str) -> None:
    event = {"user_id": "me", "item_id": "item-3", "event": "buy", "timestamp": 1_700_000_000_123}
    status, v1 = server.v1(event, model="events")
    assert status == 200
    status, v2 = server.v2(
        *(tensor(name, "BYTES", event[name]) for name in ("user_id", "item_id", "event")), model="events"
    )
    assert status == 200
    stored = dict(Redis.from_url(redis_url).xrange(EVENTS))
    expected = {key.encode(): str(value).encode() for key, value in event.items()}
    assert stored[v1["predictions"][0]["stream_id"].encode()] == expected
    now = stored[v2["outputs"][0]["data"][0].encode()]
    assert abs(int(now[b"timestamp"]) / 1000 - time.time()) < 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": "unheard-of"}, "instances[0].item_id: must be an item of the catalog, got 'unheard-of'"),
        ({"event": "kiss"}, "instances[0].event: must be one of view, buy, dislike, got 'kiss'"),
        ({"timestamp": "now"}, f"instances[0].timestamp: must be {moments.IN_WORDS}, got 'now'"),
        ({"timestamp": 99_999_999_999_999}, "instances[0].timestamp: must be in the past"),
        ({"timestamp": 1_700_000_000}, f"instances[0].timestamp: must be {SECONDS}, got 1700000000"),
        ({"user_id": "a\x00"}, "instances[0].user_id: must be free of control characters, got 'a\\x00'"),
        ({"colour": 1}, "instances[0].colour: is not a field"),
    ],
)
def test_wrong_events_are_400_and_nothing_is_stored(
    server: Any, redis_url: str, change: dict[str, Any], message: str
) -> None:
    length = Redis.from_url(redis_url).xlen(EVENTS)
    status, answer = server.v1({"user_id": "me", "item_id": "item-3", "event": "buy"} | change, model="events")
    assert status == 400
    assert answer["error"].startswith(message)
    assert Redis.from_url(redis_url).xlen(EVENTS) == length


def test_the_serving_side_needs_no_training_library(release: Release) -> None:
    """KServe itself imports pandas; no other training library may be imported."""
    blocked = [
        "torch",
        "pyarrow",
        "duckdb",
        "ibis",
        "onnx",
        "onnxruntime",
        "open_clip",
        "transformers",
        "sklearn",
        "scipy",
    ]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}));"
        "import recommender_transformer.__main__, bloom_sidecar.__main__"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    only_ours = "import sys; sys.modules.update(dict.fromkeys(['pandas', 'torch', 'pyarrow']));"
    rooms = "import bloom_sidecar.__main__, recommender_transformer.backends.online_store;"
    rooms += "import recommender_transformer.funnel.runner"
    finished = subprocess.run([sys.executable, "-c", only_ours + rooms], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr


def test_the_server_listens_on_every_address_by_default(server: Any) -> None:
    """In a container, probes and the gateway connect from outside."""
    sockets = psutil.Process(server.process.pid).connections("inet")
    addresses = {one.laddr.port: one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}
    assert set(server.ports) <= set(addresses)
    assert all(addresses[port] in (EVERYWHERE, "::") for port in server.ports)


def test_an_unpublished_release_is_refused(release: Release, redis_url: str) -> None:
    command = [sys.executable, "-m", "recommender_transformer", "--release-dir", str(release.folder)]
    finished = subprocess.run(
        [*command, "--redis-url", redis_url, "--predictor_host", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert f"is release {release.manifest.number} ({release.digest[:12]})" in finished.stderr
    assert f"holds no release {release.manifest.number}" in finished.stderr
