"""Attributes of users take effect at once, for new users, in later releases, and as feature extraction encodes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_release import write_release
from tests.support.transformer_server import serving_published
from tests.support.until import until
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import Keys
from winnow.store.publish import publish
from winnow.users.attributes import Attributes
from winnow.users.erase import erase

REFUSED = [
    ({"user_id": "u", "attributes": {"age": 3}}, "instances[0].attributes.age: is not a declared column of users"),
    (
        {"user_id": "u", "attributes": {"country": 3}},
        "instances[0].attributes.country: must be a string of at most",
    ),
    ({"user_id": "u", "action": "merge"}, "instances[0].into: is required by the action merge"),
    ({"user_id": "u", "action": "merge", "into": "u"}, "instances[0].into: must be another user"),
    ({"user_id": "u", "action": "drop"}, "instances[0].action: must be upsert, read, events, merge or erase"),
    ({"user_id": "u", "action": "read", "into": "v"}, "instances[0].into: is not a field of the action read"),
    ({"user_id": "u", "action": "events", "before": "x"}, "instances[0].before: must be next of the page before"),
    ({"user_id": "u", "action": "read", "n": 0}, "instances[0].n: must be a whole number between 1 and 1000"),
    ({"user_id": "u\n", "action": "read"}, "instances[0].user_id: must be free of control characters"),
]


def country_of(client: Client, release: Release, user_id: str) -> int | None:
    packed = client.get(Keys(release.manifest.number).user_row(user_id))
    if packed is None:
        return None
    return int(np.frombuffer(packed, release.schema.user_dtype)[0]["categorical"][0])


def call(server: Any, *instances: dict[str, Any]) -> list[dict[str, Any]]:
    status, body = server.v1(*instances, model="users")
    assert status == 200, body
    answers: list[dict[str, Any]] = body["predictions"]
    return answers


def test_an_upsert_takes_effect_at_once(
    published: Release, client: Client, serve_published: Callable[..., Any]
) -> None:
    with serve_published(reuse_s=5.0) as server:
        call(server, {"user_id": "user-1", "attributes": {"country": "fi"}}, {"user_id": "new", "attributes": {}})
        assert country_of(client, published, "user-1") == 2
        assert country_of(client, published, "new") == 0
        assert call(server, {"user_id": "new", "attributes": {"country": "pt"}}) == [{"user_id": "new", "known": True}]
        [read] = call(server, {"user_id": "new", "action": "read"})
        assert read["attributes"] == {"country": "pt"}
        assert read["features"] == {"country": [1]}
        assert read["known"]
        # A value that the release does not know is kept, for releases that do.
        call(server, {"user_id": "new", "attributes": {"country": "dk"}})
        [read] = call(server, {"user_id": "new", "action": "read"})
        assert (read["attributes"], read["features"]) == ({"country": "dk"}, {"country": [0]})
        call(server, {"user_id": "user-1", "attributes": {"country": None}})
        [read] = call(server, {"user_id": "user-1", "action": "read"})
        assert (read["attributes"], read["features"]) == ({"country": None}, {"country": [0]})


def test_a_later_release_and_one_beside_have_the_changes(
    published: Release, client: Client, redis_url: str, tmp_path: Path, serve_published: Callable[..., Any]
) -> None:
    with serve_published() as server:
        call(server, {"user_id": "user-1", "attributes": {"country": "is"}}, {"user_id": "new", "attributes": {}})
        later = write_release(tmp_path, published.manifest.number + 500)
        publish(later.folder, redis_url, show_progress=False)
        with serving_published(later, redis_url, tmp_path / "later.log") as other:
            assert country_of(client, later, "user-1") == 3
            assert country_of(client, later, "new") == 0
            call(server, {"user_id": "user-2", "attributes": {"country": "is"}})
            until(lambda: country_of(client, later, "user-2") == 3)
            call(other, {"user_id": "user-4", "attributes": {"country": "is"}})
            until(lambda: country_of(client, published, "user-4") == 3)


def test_changes_that_were_trimmed_are_applied_from_the_hashes(
    published: Release, client: Client, redis_url: str, tmp_path: Path
) -> None:
    attributes = Attributes(client, published)
    attributes.change([("user-1", {"country": "is"}), ("ключ}", {"country": "fi"})])
    later = write_release(tmp_path, published.manifest.number + 500)
    publish(later.folder, redis_url, show_progress=False)
    assert Attributes(client, later).refresh_all() == 2
    assert [country_of(client, later, name) for name in ("user-1", "ключ}")] == [3, 2]


def test_an_upsert_that_an_erasure_overtook_writes_nothing(published: Release, client: Client) -> None:
    attributes = Attributes(client, published)
    done = erase(client, "user-1")
    attributes.override([("user-1", {"country": "is"}, done.at_ms)])
    assert country_of(client, published, "user-1") is None
    attributes.change([("user-1", {"country": "fi"})])
    assert country_of(client, published, "user-1") == 2


def test_the_three_protocols_agree(serve_published: Callable[..., Any]) -> None:
    import grpc
    from tritonclient.grpc import service_pb2 as pb

    with serve_published() as server:
        call(server, {"user_id": "user-1", "attributes": {"country": "fi"}})
        [expected] = call(server, {"user_id": "user-1", "action": "read"})
        tensors = [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
            for name, value in {"user_id": "user-1", "action": "read"}.items()
        ]
        status, body = server.v2(*tensors, model="users")
        assert status == 200
        assert [json.loads(text) for text in body["outputs"][0]["data"]] == [expected]
        request = pb.ModelInferRequest(model_name="users")
        for tensor in tensors:
            given = request.inputs.add(name=tensor["name"], datatype="BYTES", shape=[1])
            given.contents.bytes_contents.append(tensor["data"][0].encode())
        answer = server.infer(request, timeout=10)
        raw = answer.raw_output_contents[0][4:] if answer.raw_output_contents else None
        text = raw or answer.outputs[0].contents.bytes_contents[0]
        assert json.loads(text) == expected
        request.inputs[1].contents.bytes_contents[0] = b"forget"
        with pytest.raises(grpc.RpcError) as refused:
            server.infer(request, timeout=10)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_wrong_calls_are_refused(serve_published: Callable[..., Any]) -> None:
    with serve_published() as server:
        for instance, message in REFUSED:
            status, body = server.v1(instance, model="users")
            assert (status, body["error"][: len(message)]) == (400, message)


def test_events_are_paged(published: Release, client: Client, serve_published: Callable[..., Any]) -> None:
    with serve_published() as server:
        events = [{"user_id": "reader", "item_id": f"item-{1 + n % 300}", "event": "view"} for n in range(250)]
        for start in range(0, 250, 50):
            assert server.v1(*events[start : start + 50], model="events")[0] == 200
        pages, before = [], {}
        while True:
            [page] = call(server, {"user_id": "reader", "action": "events", "n": 60, **before})
            pages.append([event["item_id"] for event in page["events"]])
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        assert sorted(item for page in pages for item in page) == sorted(event["item_id"] for event in events)
        assert max(map(len, pages)) == 60


def test_a_full_stream_of_changes_is_a_429(published: Release, client: Client, tmp_path: Path, redis_url: str) -> None:
    full = {"constants": {"winnow.users.changes.MAXIMUM": 2}}
    with serving_published(published, redis_url, tmp_path / "full.log", **full) as server:
        call(server, *({"user_id": f"u{n}", "attributes": {}} for n in range(2)))
        status, body = server.v1({"user_id": "u3", "attributes": {}}, model="users")
        assert status == 429
        assert "winnow events export" in body["error"]
