"""Events over every protocol into a real Redis: stored once, never silently lost, refused while the stream is full."""

import base64
import json
import os
import signal
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from redis import Redis
from tritonclient.grpc import service_pb2 as pb

from winnow.feedback.append import REMEMBERED_S
from winnow.local import redis as local_redis
from winnow.local.processes import Process
from winnow.ports import Ports
from winnow.store import keys

PATH = "/v1/models/events:predict"
EVENT = {"user_id": "me", "item_id": "item-3", "event": "buy"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.buy"}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"

_ids = count()


@pytest.fixture
def client(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


@pytest.fixture
def new_id() -> str:
    """An unused event id."""
    return f"event-{next(_ids)}"


def cloud(new_id: str, **more: Any) -> dict[str, Any]:
    return CLOUD | {"id": new_id} | more


def with_amount(amount: float) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="events")
    for name, value in EVENT.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value.encode())
    request.inputs.add(name="amount", datatype="FP32", shape=[1]).contents.fp32_contents.append(amount)
    return request


def newest(client: Redis, number: int = 1) -> list[dict[str, str]]:
    entries = client.xrevrange(keys.EVENTS, count=number)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries[::-1]]


def post(server: Any, body: bytes, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(server.url + PATH, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), dict(error.headers)


def test_a_repeated_event_is_stored_once(server: Any, client: Redis, new_id: str) -> None:
    event = EVENT | {"event_id": new_id}
    _, first = server.v1(event, model="events")
    length = client.xlen(keys.EVENTS)
    _, again = server.v1(event | {"user_id": "another-user"}, model="events")
    [one], [other] = first["predictions"], again["predictions"]
    assert other == one | {"duplicate": True}
    assert one["duplicate"] is False
    assert client.xlen(keys.EVENTS) == length
    assert newest(client)[0] | {"timestamp": ""} == event | {"timestamp": ""}
    assert REMEMBERED_S - 5 <= client.ttl(keys.event_id(new_id)) <= REMEMBERED_S


def test_one_id_twice_in_a_batch_is_one_event(server: Any, client: Redis, new_id: str) -> None:
    counters = [f'winnow_reactions_total{{value="{sign}"}}' for sign in ("positive", "negative")]
    length, counted = client.xlen(keys.EVENTS), [server.metric(each) for each in counters]
    event, dislike = EVENT | {"event_id": new_id}, EVENT | {"event": "dislike", "event_id": new_id + "b"}
    _, answer = server.v1(event, EVENT, event, dislike, model="events")
    received = answer["predictions"]
    assert [one["duplicate"] for one in received] == [False, False, True, False]
    assert received[2]["stream_id"] == received[0]["stream_id"]
    assert len({one["stream_id"] for one in received}) == 3
    assert client.xlen(keys.EVENTS) == length + 3
    assert [one.get("event_id") for one in newest(client, 3)] == [new_id, None, new_id + "b"]
    assert [server.metric(each) for each in counters] == [counted[0] + 2, counted[1] + 1]


def test_an_event_id_may_be_a_tensor(server: Any, client: Redis, new_id: str) -> None:
    tensors = [
        {"name": n, "datatype": "BYTES", "shape": [1], "data": [v]} for n, v in (EVENT | {"event_id": new_id}).items()
    ]
    for duplicate in (False, True):
        _, answer = server.v2(*tensors, model="events")
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs["duplicate"] == [duplicate]
    assert client.get(keys.event_id(new_id)).decode() == outputs["stream_id"][0]
    assert newest(client)[0]["event_id"] == new_id


def test_an_amount_is_stored_over_every_protocol(server: Any, client: Redis, new_id: str) -> None:
    status, _ = server.v1(EVENT | {"amount": 0}, EVENT | {"amount": 12.5, "event_id": new_id}, EVENT, model="events")
    assert status == 200
    assert [entry.get("amount") for entry in newest(client, 3)] == ["0.0", "12.5", None]
    assert newest(client, 2)[0]["event_id"] == new_id
    texts = [{"name": n, "datatype": "BYTES", "shape": [2], "data": [v, v]} for n, v in EVENT.items()]
    amounts = {"name": "amount", "datatype": "FP64", "shape": [2], "data": [0.1, 1e300]}
    assert server.v2(*texts, amounts, model="events")[0] == 200
    assert [float(entry["amount"]) for entry in newest(client, 2)] == [0.1, 1e300]
    server.infer(with_amount(0.25), timeout=20)
    assert newest(client)[0]["amount"] == "0.25"
    whole = cloud(new_id, data=EVENT | {"amount": 7})
    assert post(server, json.dumps(whole).encode(), {"Content-Type": STRUCTURED})[0] == 200
    assert newest(client)[0]["amount"] == "7.0"


@pytest.mark.parametrize("amount", ["-1", "-1e-9", '"12"', "true", "[1]"])
def test_an_amount_that_is_no_number_of_0_or_more_is_refused(server: Any, client: Redis, amount: str) -> None:
    length = client.xlen(keys.EVENTS)
    body = json.dumps(EVENT)[:-1] + f', "amount": {amount}}}'
    status, answer, _ = post(server, body.encode(), {"Content-Type": "application/json"})
    assert status == 400
    assert answer["error"].startswith("instances[0].amount: must be a finite number, 0 or above, got ")
    assert client.xlen(keys.EVENTS) == length


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -0.5])
def test_a_tensor_may_hold_no_other_amount_either(server: Any, client: Redis, amount: float) -> None:
    length = client.xlen(keys.EVENTS)
    with pytest.raises(grpc.RpcError, match=r"instances\[0\]\.amount: must be a finite number, 0 or above, got"):
        server.infer(with_amount(amount), timeout=20)
    assert client.xlen(keys.EVENTS) == length


def test_a_cloud_event_in_headers_is_stored_once_and_answered_as_one(server: Any, client: Redis, new_id: str) -> None:
    headers = {f"ce-{name}": value for name, value in cloud(new_id, time="2026-01-31T12:00:00.25+01:00").items()}
    headers |= {"ce-subject": "caf%C3%A9", "Content-Type": "application/json; charset=utf-8"}
    body = json.dumps({"user_id": "me", "item_id": "item-3"}).encode()
    status, answer, received = post(server, body, headers)
    assert (status, answer["predictions"][0]["duplicate"]) == (200, False)
    assert received["ce-specversion"] == "1.0"
    assert received["ce-source"] == "io.kserve.inference.events"
    assert newest(client) == [EVENT | {"timestamp": "1769857200250", "event_id": f"/shop {new_id}"}]
    _, again, _ = post(server, body, headers)
    assert again["predictions"] == [answer["predictions"][0] | {"duplicate": True}]
    # The same id from another source is another event.
    _, other, _ = post(server, body, headers | {"ce-source": "/other"})
    assert other["predictions"][0]["duplicate"] is False


def test_a_cloud_event_in_the_body_and_in_base64(server: Any, client: Redis, new_id: str) -> None:
    inside = EVENT | {"timestamp": 1_700_000_000_123}
    whole = cloud(new_id, type="anything", time="2026-01-31T12:00:00Z", data=inside, traceparent="00-1-2-00")
    status, answer, received = post(server, json.dumps(whole).encode(), {"Content-Type": STRUCTURED})
    assert status == 200
    assert received["content-type"] == STRUCTURED
    assert answer["data"]["predictions"][0]["duplicate"] is False
    # Fields of the data take precedence.
    assert newest(client) == [EVENT | {"timestamp": "1700000000123", "event_id": f"/shop {new_id}"}]
    coded = cloud(new_id + "b", data_base64=base64.b64encode(json.dumps(EVENT).encode()).decode())
    assert post(server, json.dumps(coded).encode(), {"Content-Type": STRUCTURED})[0] == 200
    assert newest(client)[0]["event_id"] == f"/shop {new_id}b"


def test_a_batch_of_cloud_events_is_stored_completely_or_not_at_all(server: Any, client: Redis, new_id: str) -> None:
    batch = [cloud(f"{new_id}-{n}", data=EVENT | {"user_id": f"user-{n}"}) for n in range(3)]
    status, answer, received = post(server, json.dumps([*batch, batch[0]]).encode(), {"Content-Type": BATCH})
    assert (status, received["content-type"]) == (200, BATCH)
    [reply] = answer
    assert [one["duplicate"] for one in reply["data"]["predictions"]] == [False, False, False, True]
    assert [one["user_id"] for one in newest(client, 3)] == ["user-0", "user-1", "user-2"]
    length = client.xlen(keys.EVENTS)
    batch = [cloud(f"{new_id}-new", data=EVENT), cloud(f"{new_id}-bad", data=EVENT | {"item_id": "unheard-of"})]
    status, answer, _ = post(server, json.dumps(batch).encode(), {"Content-Type": BATCH})
    assert (status, answer["error"]) == (
        400,
        "instances[1].item_id: must be an item of the catalog, got 'unheard-of'",
    )
    assert client.xlen(keys.EVENTS) == length


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (CLOUD | {"specversion": "0.3", "data": EVENT}, STRUCTURED, 'cloudevents[0].specversion: must be "1.0", got'),
        ({"specversion": "1.0", "data": EVENT}, STRUCTURED, "cloudevents[0].id: is required"),
        (CLOUD | {"id": 7, "data": EVENT}, STRUCTURED, "cloudevents[0].id: must be a string of 1 to 256 characters"),
        (CLOUD | {"source": "a shop"}, STRUCTURED, "cloudevents[0].source: must be a URI reference"),
        (CLOUD | {"time": "noon"}, STRUCTURED, "cloudevents[0].time: must be a time as"),
        (CLOUD | {"time": 7}, STRUCTURED, "cloudevents[0].time: must be a time as"),
        (CLOUD | {"time": "1900-01-01T00:00:00Z", "data": EVENT}, STRUCTURED, "cloudevents[0].time: must be"),
        (
            CLOUD | {"datacontenttype": "text/xml", "data": "<a/>"},
            STRUCTURED,
            "cloudevents[0].datacontenttype: must be",
        ),
        (CLOUD | {"data_base64": "%%%"}, STRUCTURED, "cloudevents[0].data_base64: must be base64"),
        (CLOUD | {"data_base64": "AAAA"}, STRUCTURED, "cloudevents[0].data_base64: must be JSON"),
        (
            CLOUD | {"data_base64": "AAAA", "data": {}},
            STRUCTURED,
            "cloudevents[0].data_base64: must not be set together with data",
        ),
        (CLOUD, STRUCTURED, "instances[0]: must be an object, got None"),
        (CLOUD | {"data": [EVENT]}, STRUCTURED, "instances[0]: must be an object"),
        (
            CLOUD | {"type": "a.kiss", "data": {"user_id": "me", "item_id": "item-3"}},
            STRUCTURED,
            "instances[0].event: must",
        ),
        (CLOUD | {"source": "s" * 256, "data": EVENT}, STRUCTURED, "cloudevents[0].id: must be, with its source and a"),
        ([CLOUD | {"data": EVENT}], STRUCTURED, "cloudevents[0]: must be an object"),
        (CLOUD | {"data": EVENT}, BATCH, "body: must be a list of 1 to 64 CloudEvents"),
        ([], BATCH, "body: must be a list of 1 to 64 CloudEvents"),
        ([CLOUD | {"data": EVENT}] * 65, BATCH, "body: must be a list of 1 to 64 CloudEvents"),
        ([CLOUD | {"data": EVENT}, 7], BATCH, "cloudevents[1]: must be an object, got 7"),
        (CLOUD | {"data": EVENT}, "application/cloudevents+xml", f"content-type: must be {STRUCTURED}"),
        (CLOUD | {"data": EVENT}, "application/json", "instances[0].specversion: is not a field"),
    ],
)
def test_wrong_cloud_events_are_400_and_named(
    server: Any, client: Redis, body: Any, headers: str, message: str
) -> None:
    length = client.xlen(keys.EVENTS)
    status, answer, _ = post(server, json.dumps(body).encode(), {"Content-Type": headers})
    assert (status, answer["error"][: len(message)]) == (400, message)
    assert client.xlen(keys.EVENTS) == length


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"ce-id": "1"}, b"{}", "ce.specversion: is required"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-type": "buy"}, b"{}", "ce.source: is required"),
        ({f"ce-{n}": v for n, v in CLOUD.items()} | {"ce-id": "%FF"}, b"{}", "ce-id: must be percent-encoded UTF-8"),
        ({f"ce-{n}": v for n, v in CLOUD.items()}, b"", "body: must be JSON"),
        ({f"ce-{n}": v for n, v in CLOUD.items()} | {"Content-Type": "text/plain"}, b"{}", "ce.datacontenttype: must"),
    ],
)
def test_half_a_cloud_event_is_400(server: Any, headers: dict[str, str], body: bytes, message: str) -> None:
    status, answer, _ = post(server, body, {"Content-Type": "application/json"} | headers)
    assert (status, answer["error"][: len(message)]) == (400, message)


def test_only_the_events_model_accepts_cloud_events(server: Any) -> None:
    headers = {f"ce-{name}": value for name, value in CLOUD.items()}
    body = json.dumps({"instances": [{"user_id": "me"}]}).encode()
    status, answer = server.post("/v1/models/recommender:predict", body, headers)
    assert (status, answer["error"]) == (400, "body: CloudEvents are accepted by the events model only")
    status, answer = server.post("/v2/models/events/infer", b'{"inputs": []}', headers)
    assert (status, answer["error"][:24]) == (400, "body: CloudEvents must b")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """A Redis that a test may freeze."""
    port = Ports.free().redis
    with local_redis.server(tmp_path / "redis", port, tmp_path / "redis.log") as process:
        yield process, local_redis.url(port)


def grpc_event(server: Any, event_id: str) -> Any:
    request = pb.ModelInferRequest(model_name="events")
    for name, value in (EVENT | {"event_id": event_id}).items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(struct.pack("<I", len(value)) + value.encode())
    return server.infer(request, timeout=10)


def test_a_full_stream_refuses_new_events_and_trims_nothing(
    serve_tiny: Callable[..., Any], own_redis: tuple[Process, str]
) -> None:
    client = Redis.from_url(own_redis[1])
    with serve_tiny(own_redis[1], limits=[5]) as server:
        assert server.v1(*(EVENT | {"event_id": str(n)} for n in range(3)), model="events")[0] == 200
        held = client.xrange(keys.EVENTS)
        batch = json.dumps({"instances": [EVENT | {"event_id": str(n)} for n in range(1, 6)]}).encode()
        status, answer, headers = post(server, batch, {"Content-Type": "application/json"})
        assert (status, headers["retry-after"]) == (429, "30")
        assert "takes 5 entries" in answer["error"]
        assert "`winnow events export` makes room" in answer["error"]
        assert client.xrange(keys.EVENTS) == held
        assert client.exists(keys.event_id("3")) == 0
        assert server.v1(EVENT, EVENT, model="events")[0] == 200
        with pytest.raises(grpc.RpcError) as caught:
            grpc_event(server, "new")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "`winnow events export` makes room" in caught.value.details()
        # A stored event needs no room.
        status, answer = server.v1(EVENT | {"event_id": "1"}, model="events")
        assert (status, answer["predictions"][0]["duplicate"]) == (200, True)
        assert client.xlen(keys.EVENTS) == 5


def test_a_hanging_redis_is_503_and_the_event_can_be_sent_again(
    serve_tiny: Callable[..., Any], own_redis: tuple[Process, str]
) -> None:
    process, url = own_redis
    with serve_tiny(url) as server:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            status, answer = server.v1(EVENT | {"event_id": "1"}, model="events")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert status == 503
        assert "no answer within 2 s" in answer["error"]
        assert "sending them again is safe where they have an event_id" in answer["error"]
        assert server.v1(EVENT | {"event_id": "1"}, model="events")[0] == 200
        assert Redis.from_url(url).xlen(keys.EVENTS) == 1


def test_an_event_is_acknowledged_when_enough_replicas_hold_it(
    serve_tiny: Callable[..., Any], tmp_path: Path, own_redis: tuple[Process, str]
) -> None:
    port = Ports.free().redis
    with local_redis.server(tmp_path / "replica", port, tmp_path / "replica.log") as replica:
        held = Redis.from_url(local_redis.url(port))
        held.replicaof("127.0.0.1", own_redis[1].rpartition(":")[2].partition("/")[0])
        while held.info("replication").get("master_link_status") != "up":
            time.sleep(0.05)
        with serve_tiny(own_redis[1], limits=[100, 1]) as server:
            event = EVENT | {"event_id": "1"}
            assert server.v1(event, model="events")[1]["predictions"][0]["duplicate"] is False
            assert held.xlen(keys.EVENTS) == 1
            os.kill(replica.pid, signal.SIGSTOP)
            try:
                # A retry does not make the event replicated.
                for _ in range(2):
                    status, answer = server.v1(EVENT | {"event_id": "2"}, model="events")
                    assert status == 503
                    assert "0 of 1 replicas confirmed within 1000 ms" in answer["error"]
            finally:
                os.kill(replica.pid, signal.SIGCONT)
            status, answer = server.v1(EVENT | {"event_id": "2"}, model="events")
            assert (status, answer["predictions"][0]["duplicate"]) == (200, True)
            assert held.xlen(keys.EVENTS) == 2
