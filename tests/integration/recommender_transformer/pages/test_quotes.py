"""Events quote a recommendation in every form; the export and the report have what they quoted."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.transformer_server import Server
from tests.support.until import until
from winnow import protocols
from winnow.datasets.ingest import ingest
from winnow.evaluation.attribution.log import attributed, exported, live
from winnow.evaluation.attribution.report import Report, report
from winnow.feedback import export_files
from winnow.feedback.export import export
from winnow.feedback.export_files import EVENT_TABLE
from winnow.fields import QUOTED
from winnow.request import Answer
from winnow.store.connection import connect
from winnow.store.keys import EVENTS, IMPRESSIONS

PATH = "/v1/models/events:predict"


def send_v1(server: Server, event: dict[str, str]) -> None:
    assert server.v1(event, model="events")[0] == 200


def send_v2(server: Server, event: dict[str, str]) -> None:
    tensors = [{"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in event.items()]
    assert server.v2(*tensors, model="events")[0] == 200


def send_grpc(server: Server, event: dict[str, str]) -> None:
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name="events")
    for name, value in event.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value.encode())
    server.infer(request)


def send_cloud_event(server: Server, event: dict[str, str]) -> None:
    data = {name: value for name, value in event.items() if name != "event"}
    envelope = {"specversion": "1.0", "id": event["item_id"], "source": f"/{event['user_id']}", "data": data}
    body = json.dumps(envelope | {"type": f"com.example.{event['event']}"}).encode()
    headers = {"Content-Type": "application/cloudevents+json"}
    with urllib.request.urlopen(urllib.request.Request(server.url + PATH, body, headers), timeout=30) as response:
        assert response.status == 200


def begin_anew(servers: tuple[Server, ...], redis_url: str) -> None:
    """Empty the streams, once the processes have written the impressions of earlier tests: in the order of requests."""
    last = set()
    for server in servers:
        with protocols.http(server.ports[0]) as http:
            [answer] = protocols.over_http_v1(http, [{"user_id": "last"}])
        last.add(answer["request_id"].encode())
    with connect(redis_url) as redis:
        until(lambda: last <= {fields[b"request_id"] for _, fields in redis.xrange(IMPRESSIONS)})
        redis.delete(IMPRESSIONS, EVENTS)


def clicks(result: Report) -> dict[str, tuple[int, int, int]]:
    return {row.name: (row.shown, row.clicks.hits, row.conversions.hits) for row in (result.total, *result.position)}


def test_quoted_events_are_attributed_to_their_slots(
    two_processes: tuple[Server, Server], redis_url: str, tmp_path: Path
) -> None:
    begin_anew(two_processes, redis_url)
    user = "customer-\u0634"
    pages: list[Answer] = []
    with protocols.http(two_processes[0].ports[0]) as http:
        pages += protocols.over_http_v1(http, [{"user_id": user, "k": 4}])
        pages += protocols.over_http_v1(http, [{"recommendation_id": pages[0]["recommendation_id"]}])
    sends = (send_v1, send_v2, send_grpc, send_cloud_event)
    for place, send in enumerate(sends):
        page = pages[place % 2]
        event = {"user_id": user, "item_id": page["items"][place]["item_id"], "event": "view"}
        # Whole, or only the part that names the recommendation.
        quoted = page["recommendation_id"] if place < 2 else page["recommendation_id"][:QUOTED]
        send(two_processes[1], event | {"recommendation_id": quoted})
    bought = {"user_id": user, "item_id": pages[0]["items"][0]["item_id"], "event": "buy"}
    send_v1(two_processes[0], bought | {"recommendation_id": pages[0]["recommendation_id"]})
    send_v1(two_processes[0], bought)
    expected = {"all": (8, 4, 1)} | {str(n): (1, int(n in (0, 2, 5, 7)), int(n == 0)) for n in range(8)}
    types = ("view", "buy"), ("buy",)
    with connect(redis_url) as redis:
        until(lambda: redis.xlen(IMPRESSIONS) == 2)
        quotes = [fields.get(b"recommendation_id") for _, fields in redis.xrange(EVENTS)]
    names = [page["recommendation_id"][:QUOTED].encode() for page in pages]
    assert quotes == [names[0], names[1], names[0], names[1], names[0], None]
    from_redis = report(attributed(live(redis_url), *types))
    assert clicks(from_redis) == expected
    assert from_redis.notes == ["1 of 6 events quote no recommendation, and count for none"]
    export(str(tmp_path), redis_url, show_progress=False)
    assert report(attributed(exported(str(tmp_path)), *types)) == from_redis
    # The export is still the log of a data set, together with a file from before the column.
    [file] = (tmp_path / "events").iterdir()
    older = pq.read_table(file).drop_columns(["recommendation_id"])
    pq.write_table(older, file.with_name("1-0.parquet"))
    assert len(list(export_files.events(str(file.with_name("1-0.parquet"))))) == 6
    assert len(export_files.written(str(tmp_path), EVENT_TABLE)) == 2
    (tmp_path / "items.csv").write_text("\n".join(["item_id", *(f"item-{n}" for n in range(1, 1501))]))
    (tmp_path / "dataset.yaml").write_text("name: again\nevents: {view: 1, buy: 4}\nconversions: [buy]\n")
    assert ingest(str(tmp_path), tmp_path / "dataset").events.num_rows > 0


@pytest.mark.parametrize("quoted", ["", "short", "!" * 16, "A" * 17, "A" * 9001, 7])
def test_a_quote_that_is_no_id_is_refused(two_processes: tuple[Server, Server], quoted: Any) -> None:
    event = {"user_id": "me", "item_id": "item-3", "event": "buy", "recommendation_id": quoted}
    status, body = two_processes[0].v1(event, model="events")
    assert status == 400
    assert body["error"].startswith(
        "instances[0].recommendation_id: must be the recommendation_id of an answer, got "
    ), body
