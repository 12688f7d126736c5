"""``filters.where`` over the three protocols: the same list, and a clear refusal of what cannot be read."""

import json
import struct
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb


def over_v1(server: Any, where: Any) -> tuple[int, str]:
    status, body = server.v1({"user_id": "user-3", "k": 5, "filters": {"where": where}})
    return status, json.dumps(body)


def over_v2(server: Any, where: Any) -> tuple[int, str]:
    tensors = [
        {"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["user-3"]},
        {"name": "k", "datatype": "INT32", "shape": [1], "data": [5]},
        {"name": "filters", "datatype": "BYTES", "shape": [1], "data": [json.dumps({"where": where})]},
    ]
    status, body = server.v2(*tensors)
    return status, json.dumps(body)


def over_grpc(server: Any, where: Any) -> tuple[int, str]:
    request = pb.ModelInferRequest(model_name="recommender")
    for name, datatype, raw in (
        ("user_id", "BYTES", _bytes("user-3")),
        ("k", "INT32", struct.pack("<i", 5)),
        ("filters", "BYTES", _bytes(json.dumps({"where": where}))),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[1])
        request.raw_input_contents.append(raw)
    try:
        return 200, str(server.infer(request))
    except grpc.RpcError as refused:
        return 400 if refused.code() == grpc.StatusCode.INVALID_ARGUMENT else 500, refused.details() or ""


def _bytes(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


PROTOCOLS = {"v1": over_v1, "v2": over_v2, "gRPC": over_grpc}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("", "instances[0].filters.where: must be a filter of 1 to 4000 characters"),
        (3, "instances[0].filters.where: must be a filter of 1 to 4000 characters, such as 'price < 20', got 3"),
        ("price <", "instances[0].filters.where: ends too early: expected a number"),
        ("prise < 3", "column 'prise' at character 1 is not a column of the catalog; the columns are item_id, title, "),
        ("price < '3'", "column 'price' must be compared with a number at character 9"),
        ("(" * 3990 + "price", "instances[0].filters.where: must have at most 1500 words, values and signs"),
        ("(" * 700 + "price", "instances[0].filters.where: ends too early"),
        ("x" * 100_000, "instances[0].filters.where: must be a filter of 1 to 4000 characters"),
        ("price = 1e999", "instances[0].filters.where: has a number that is too large at character 9"),
        ("price = NaN", "cannot be read at character 9, 'NaN'"),
        ("title = 'a' or ''='", "instances[0].filters.where: cannot be read at character 16"),
        ("title = '\x00", "instances[0].filters.where: cannot be read at character 9"),
        ("title = '\ud800'", "instances[0]"),
        ("title = 'a'; --", "cannot be read at character 12"),
        ("not " * 998 + "price", "column 'price' at character 3993 is a number and no condition by itself"),
        (["price < 3"], "instances[0].filters.where: must be a filter of 1 to 4000 characters"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(server: Any, protocol: str, where: Any, fault: str) -> None:
    status, body = PROTOCOLS[protocol](server, where)
    assert status == 400, body
    if where != "title = '\ud800'":
        assert json.dumps(fault)[1:-1] in body or fault in body
    assert len(body) < 1000


def test_all_protocols_filter_alike(server: Any) -> None:
    where = "price < 20 and (tags contains 'red' or title like \"title 1%\")"
    lists = [PROTOCOLS[protocol](server, where) for protocol in PROTOCOLS]
    assert [status for status, _ in lists] == [200, 200, 200]
    first = json.loads(lists[0][1])["predictions"][0]["items"]
    assert 0 < len(first) <= 5
    for item in first:
        number = int(item["item_id"].removeprefix("item-"))
        assert number < 20
        assert number % 3
        assert all(f'"{item["item_id"]}"' in body.replace("\\", "") or item["item_id"] in body for _, body in lists)
