"""Compressed bodies, over every HTTP protocol: decoded within the limit of a body, and refused beyond it."""

import gzip
import json
import random
import struct
import zlib
from typing import Any

import pytest

from recommender_transformer.serving.connections.content_encoding import Malformed, TooLarge, decompress
from winnow.request import MAX_BODY_BYTES

PATH = "/v1/models/recommender:predict"
BODY = json.dumps({"instances": [{"user_id": "user-3", "k": 5}]}).encode()
EVENT = {"user_id": "packed", "item_id": "item-3", "event": "view"}


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "GZIP": lambda body: gzip.compress(body[:20]) + gzip.compress(body[20:]),
    "identity": lambda body: body,
}
"""By the header's value; HTTP's deflate has zlib's frame, which some clients leave out."""


def items(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["predictions"][0]["items"]]


@pytest.mark.parametrize("encoding", PACKED)
def test_a_compressed_request_equals_the_plain_one(server: Any, encoding: str) -> None:
    status, plain = server.post(PATH, BODY)
    assert status == 200
    status, answer = server.post(PATH, PACKED[encoding](BODY), {"Content-Encoding": encoding})
    assert (status, items(answer)) == (200, items(plain))


def test_a_large_body_is_decompressed(server: Any) -> None:
    noise = "".join(random.Random(0).choices("abcdefgh", k=300_000))
    body = json.dumps({"instances": [{"user_id": "user-3", "k": 5, "filters": {"exclude_items": ["x"]}}]}).encode()
    for padded in (body + b" " * 500_000, body + b" " * (MAX_BODY_BYTES - len(body))):
        status, answer = server.post(PATH, gzip.compress(padded, mtime=0), {"Content-Encoding": "gzip"})
        assert (status, len(items(answer))) == (200, 5)
    status, answer = server.post(PATH, gzip.compress(noise.encode()), {"Content-Encoding": "gzip"})
    assert (status, answer["error"][:18]) == (400, "body: must be JSON")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_tensors_in_json_and_in_binary(server: Any, encoding: str) -> None:
    tensors = {"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["user-3"]}]}
    status, plain = server.post("/v2/models/recommender/infer", json.dumps(tensors).encode())
    packed = PACKED[encoding](json.dumps(tensors).encode())
    status, answer = server.post("/v2/models/recommender/infer", packed, {"Content-Encoding": encoding})
    assert (status, answer["outputs"][0]) == (200, plain["outputs"][0])

    # The length of the JSON part counts in the decompressed body.
    raw = struct.pack("<I", 6) + b"user-3"
    described = {"name": "user_id", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    json_part = json.dumps({"inputs": [described]}).encode()
    headers = {
        "Content-Encoding": encoding,
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(json_part)),
    }
    status, answer = server.post("/v2/models/recommender/infer", PACKED[encoding](json_part + raw), headers)
    assert (status, answer["outputs"][0]) == (200, plain["outputs"][0])


def test_cloud_events_and_events(server: Any) -> None:
    cloud = {"ce-specversion": "1.0", "ce-id": "packed-1", "ce-source": "/shop", "ce-type": "view"}
    packed = gzip.compress(json.dumps(EVENT).encode())
    path = "/v1/models/events:predict"
    status, answer = server.post(path, packed, cloud | {"Content-Encoding": "gzip"})
    assert (status, answer["predictions"][0]["duplicate"]) == (200, False)
    whole = {"specversion": "1.0", "id": "packed-2", "source": "/shop", "type": "view", "data": EVENT}
    headers = {"Content-Type": "application/cloudevents-batch+json", "Content-Encoding": "deflate"}
    status, answer = server.post(path, zlib.compress(json.dumps([whole]).encode()), headers)
    assert (status, answer[0]["data"]["predictions"][0]["duplicate"]) == (200, False)
    status, answer = server.post(path, packed, {"Content-Encoding": "gzip"})
    assert status == 200


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, identity", "x"])
@pytest.mark.parametrize(
    "path", [PATH, "/v2/models/recommender/infer", "/v1/models/events:predict", "/v1/models/items:predict"]
)
def test_other_encodings_are_415(server: Any, path: str, encoding: str) -> None:
    status, answer = server.post(path, BODY, {"Content-Encoding": encoding})
    expected = f"content-encoding: must be gzip, deflate or identity, got '{encoding}'"
    assert (status, answer) == (415, {"error": expected})


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (BODY, "gzip", "incorrect header check"),
        (b"", "gzip", "it is truncated"),
        (gzip.compress(BODY, mtime=0)[:-9], "gzip", "it is truncated"),
        (gzip.compress(BODY, mtime=0)[:-4] + b"\xff" * 4, "gzip", "incorrect length check"),
        (gzip.compress(BODY, mtime=0) + b"more", "gzip", "incorrect header check"),
        (gzip.compress(b"", mtime=0) * 100, "gzip", "data follows its end"),
        (zlib.compress(BODY)[:-1], "deflate", "it is truncated"),
        (zlib.compress(BODY) + b"more", "deflate", "data follows its end"),
        (b"\xff" * 100, "deflate", "invalid block type"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/v2/models/recommender/infer", "/v1/models/events:predict"])
def test_broken_compression_is_400(server: Any, path: str, body: bytes, encoding: str, message: str) -> None:
    status, answer = server.post(path, body, {"Content-Encoding": encoding})
    assert status == 400
    assert answer["error"].startswith(f"body: cannot be read as {encoding}: ")
    assert message in answer["error"]


def bomb(size: int) -> bytes:
    """That many zeros, as gzip."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(size // 2**20)), packer.flush()])


def test_decompression_bombs_are_413(server: Any) -> None:
    refused = (413, {"error": f"body: must be at most {MAX_BODY_BYTES} bytes"})
    packed = bomb(512 * 2**20)
    assert len(packed) < 2**20
    for path in (PATH, "/v2/models/recommender/infer", "/v1/models/events:predict"):
        assert server.post(path, packed, {"Content-Encoding": "gzip"}) == refused
    assert server.post(PATH, zlib.compress(bytes(MAX_BODY_BYTES + 1)), {"Content-Encoding": "deflate"}) == refused
    # Two gzip members of half the size.
    half = gzip.compress(bytes(MAX_BODY_BYTES // 2 + 1))
    assert server.post(PATH, half * 2, {"Content-Encoding": "gzip"}) == refused
    assert server.post(PATH, BODY)[0] == 200


def test_decompression_stops_at_the_limit() -> None:
    packed = gzip.compress(b"a" * 1000)
    assert decompress(packed, "gzip", 1000) == b"a" * 1000
    with pytest.raises(TooLarge):
        decompress(packed, "gzip", 999)
    assert decompress(gzip.compress(b"") + packed, "gzip", 1000) == b"a" * 1000
    with pytest.raises(Malformed):
        decompress(packed[:-1], "gzip", 1000)
