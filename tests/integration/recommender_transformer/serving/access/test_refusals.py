"""Calls without a key, and with a wrong, an expired and an insufficient one: refused over every protocol."""

import http.client
import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from tests.support.access.calls import INSTANCES, Keys, bearer, over_grpc, over_http, write
from tests.support.transformer_server import Server, serving
from winnow.settings.access import SCOPES, new_key

NEEDED = {"recommender": "recommend", "events": "events", "items": "catalog", "users": "catalog"}
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, redis_url: str, keys: Keys) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    access = write(folder / "access.yaml", keys=keys.entries())
    with serving(folder, 6003, redis_url, access=str(access)) as server:
        server.log = folder / "server.log"  # type: ignore[attr-defined]
        yield server


def models(server: Server) -> list[str]:
    with urllib.request.urlopen(f"{server.url}/v1/models", timeout=10) as response:
        found: list[str] = json.loads(response.read())["models"]
    assert {"recommender", "events", "items"} <= set(found)
    return found


def test_without_a_valid_key_every_call_is_unauthenticated(guarded: Server, keys: Keys) -> None:
    # gRPC itself refuses a call at random once its metadata has more than 8 KiB.
    for credential in (None, new_key(), keys.expired, "", "x" * 6000, f"{keys.every}x"):
        for model in [*models(guarded), "no-such-model"]:
            given = bearer(credential)
            statuses = over_http(guarded, model, given)
            assert statuses == dict.fromkeys(statuses, 401), (credential, model)
            assert over_grpc(guarded, model, given) is UNAUTHENTICATED, (credential, model)


def test_without_the_scope_every_call_is_forbidden(guarded: Server, keys: Keys) -> None:
    for model in models(guarded):
        needed = NEEDED.get(model, "admin")
        for scope in SCOPES:
            given = bearer(keys.by_scope[scope])
            statuses, code = over_http(guarded, model, given), over_grpc(guarded, model, given)
            if scope == needed:
                assert not {401, 403} & set(statuses.values()), (scope, model)
                assert code not in (UNAUTHENTICATED, DENIED), (scope, model)
            else:
                assert statuses == dict.fromkeys(statuses, 403), (scope, model)
                assert code is DENIED, (scope, model)


@pytest.mark.parametrize("action", [{"action": "erase"}, {"action": "merge", "into": "user-2"}])
def test_what_cannot_be_undone_needs_an_administrator(guarded: Server, keys: Keys, action: dict[str, str]) -> None:
    def status(scopes: list[str]) -> int:
        instance = {"user_id": "nobody", **action}
        return guarded.post(
            "/v1/models/users:predict", json.dumps({"instances": [instance]}).encode(), bearer(key_of(scopes))
        )[0]

    def key_of(scopes: list[str]) -> str:
        return keys.every if len(scopes) > 1 else keys.by_scope[scopes[0]]

    assert status(["catalog"]) == 403
    assert status(["catalog", "admin"]) == 200


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_is_taken_from_either_header(guarded: Server, keys: Keys, header: str) -> None:
    key = keys.every if header == "x-api-key" else f"bearer  {keys.every}"
    for model in INSTANCES:
        statuses = over_http(guarded, model, {header: key})
        assert statuses["v1"] == statuses["v2"] == statuses["v1 of another encoding"] == 200, model
        assert over_grpc(guarded, model, {header: key}) is grpc.StatusCode.OK
    assert over_http(guarded, "events", {header: key}) == dict.fromkeys(statuses, 200)


def test_the_responses_name_the_remedy_and_quote_no_key(guarded: Server, keys: Keys) -> None:
    def refusal(headers: dict[str, str]) -> tuple[str, str]:
        where = guarded.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(where, timeout=30)) as connection:
            connection.request("POST", "/v1/models/items:predict", b"{}", headers)
            response = connection.getresponse()
            return json.loads(response.read())["error"], response.headers["www-authenticate"]

    unknown = new_key()
    assert refusal({}) == (
        "access: this call needs a key or token: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        'Bearer realm="winnow"',
    )
    message, challenge = refusal(bearer(unknown))
    assert message == "access: this key is not known here: check it, or ask for a new one"
    assert challenge == 'Bearer realm="winnow", error="invalid_token"'
    message, challenge = refusal(bearer(keys.expired))
    assert message == "access: this key has expired: ask for a new one"
    message, challenge = refusal(bearer(keys.by_scope["recommend"]))
    assert message == "access: this call needs the scope catalog, which the key only-recommend does not have"
    assert challenge == 'Bearer realm="winnow", error="insufficient_scope", scope="catalog"'


HEALTH = ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/metrics", "/v1/models", "/v1/models/recommender"]
METADATA = ["/v2/models", "/v2/models/items", "/v2/models/events/ready"]


def test_health_metadata_and_metrics_need_no_key(guarded: Server) -> None:
    assert {path: guarded.get(path) for path in HEALTH + METADATA} == dict.fromkeys(HEALTH + METADATA, 200)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(guarded.channel)
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name="items")).ready
    assert stub.ModelMetadata(pb.ModelMetadataRequest(name="items")).name == "items"


PATHS = [
    "/v1/models/items%3Apredict",
    "/v1/models/items:predict/",
    "//v1/models/items:predict",
    "/v1//models/items:predict",
    "/v1/models/items:predict%0A",
    "/v1/models/items:predict?x=/metrics",
    "/v1/models/recommender/../items:predict",
    "/v1/models/%69tems:predict",
    "/v1/models/items:explain",
    "/v1/models/items;x:predict",
    "/v2/models/items/infer/",
    "/v2/models/items/versions/1/infer",
    "/v2/models/items/infer%00",
    "/V1/models/items:predict",
    "/metrics/../v1/models/items:predict",
    "/v2/repository/models/items/unload",
    "/openapi.json",
    "/nothing",
]


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_no_spelling_of_a_path_reaches_a_model_without_its_scope(guarded: Server, keys: Keys, method: str) -> None:
    body = json.dumps({"instances": [{"item_id": "hostile"}]}).encode()
    for path in PATHS:
        for key in (None, keys.by_scope["recommend"]):
            where = guarded.url.removeprefix("http://")
            with closing(http.client.HTTPConnection(where, timeout=30)) as connection:
                connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in (bearer(key) | {"content-length": str(len(body))}).items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                response = connection.getresponse()
                response.read()
            if key is None and not (method == "GET" and path == "/openapi.json"):
                assert response.status == 401, (method, path)
            # Without a 200 nothing was written.
            assert response.status != 200 or path == "/openapi.json", (method, path, key)
            assert response.status < 500, (method, path, key)


HOSTILE: dict[str, list[tuple[str, bytes]]] = {
    "two keys": [("authorization", b"Bearer KEY"), ("authorization", b"Bearer KEY")],
    "a key in both headers": [("authorization", b"Bearer KEY"), ("x-api-key", b"KEY")],
    "two of the other": [("x-api-key", b"KEY"), ("x-api-key", b"wrong")],
    "several in one": [("x-api-key", b"KEY, KEY")],
    "no scheme": [("authorization", b"KEY")],
    "another scheme": [("authorization", b"Basic KEY")],
    "the scheme alone": [("authorization", b"Bearer")],
    "nothing": [("authorization", b"")],
    "a space": [("x-api-key", b" ")],
    "more bytes than a key has": [("x-api-key", b"K" * 8193)],
    "bytes beyond ASCII": [("x-api-key", b"\xff\xfe\xc3\xa9")],
    "a token of dots": [("authorization", b"Bearer ..")],
    "a token without a signature": [("authorization", b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")],
    "a cookie": [("cookie", b"authorization=Bearer KEY")],
    "a proxy's": [("proxy-authorization", b"Bearer KEY")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_unauthenticated(guarded: Server, keys: Keys, name: str) -> None:
    with closing(http.client.HTTPConnection(guarded.url.removeprefix("http://"), timeout=30)) as connection:
        connection.putrequest("POST", "/v1/models/recommender:predict")
        connection.putheader("content-length", "2")
        for header, value in HOSTILE[name]:
            connection.putheader(header, value.replace(b"KEY", keys.every.encode()))
        connection.endheaders(b"{}")
        response = connection.getresponse()
        assert response.status == 401
        assert keys.every not in response.read().decode()


@pytest.mark.parametrize("name", ["two keys", "another scheme", "nothing", "a token of dots", "a proxy's"])
def test_hostile_metadata_are_unauthenticated(guarded: Server, keys: Keys, name: str) -> None:
    metadata = [(header, value.decode().replace("KEY", keys.every)) for header, value in HOSTILE[name]]
    call = pb.ModelInferRequest(model_name="recommender")
    for more in ([], [("x-api-key-bin", b"\x00\xff")]):
        with pytest.raises(grpc.RpcError) as raised:
            guarded.infer(call, metadata=(*metadata, *more))
        assert raised.value.code() is UNAUTHENTICATED
        assert keys.every not in raised.value.details()


def test_outcomes_are_counted_by_caller(guarded: Server, keys: Keys) -> None:
    def counts() -> dict[str, float]:
        return {
            f"{caller} {outcome}": guarded.metric(f'winnow_access_total{{caller="{caller}",outcome="{outcome}"}}')
            for caller, outcome in (
                ("every", "granted"),
                ("only-events", "scope"),
                ("(anonymous)", "missing"),
                ("(unknown)", "wrong"),
                ("(unknown)", "expired"),
                ("(unknown)", "malformed"),
            )
        }

    before = counts()
    for headers in (bearer(keys.every), bearer(keys.by_scope["events"]), {}, bearer(new_key()), bearer(keys.expired)):
        guarded.post("/v1/models/recommender:predict", b"{}", headers)
    guarded.post("/v1/models/recommender:predict", b"{}", {"authorization": "Basic YTpi"})
    assert counts() == {name: value + 1 for name, value in before.items()}


def test_no_log_line_has_a_key(guarded: Server, keys: Keys) -> None:
    log: Path = guarded.log  # type: ignore[attr-defined]
    guarded.post("/v1/models/recommender:predict", b"{", bearer(keys.every))
    guarded.post("/v1/models/recommender:predict", b"{", {"authorization": f"Basic {keys.every}"})
    text = log.read_text()
    assert not [key for key in (keys.every, keys.expired, *keys.by_scope.values()) if key in text]
    assert "winnow_" not in text
    assert "Bearer" not in text
