"""Rate limits: per key, over every protocol, and shared by processes."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.support.access.calls import AUDIENCE, ISSUER, Issuer, bearer, entry, over_grpc, write
from tests.support.transformer_server import Server, serving_published
from winnow.release import Release
from winnow.settings.access import new_key

BODY = json.dumps({"instances": [{"user_id": "user-1"}]}).encode()


def status(server: Server, key: str) -> int:
    return server.post("/v1/models/recommender:predict", BODY, bearer(key))[0]


def test_the_limit_is_per_key_and_says_when_to_come_back(
    serve_tiny: Callable[..., Any], redis_url: str, tmp_path: Path
) -> None:
    limited, free, issuer = new_key(), new_key(), Issuer()
    issuer.write(tmp_path / "jwks.json")
    # So slow that none comes back while the test runs.
    slow = {"rate": "1/min", "burst": 3}
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "jwks.json", "algorithms": ["RS256"], **slow}
    keys = [entry("limited", limited, **slow), entry("free", free)]
    file = write(tmp_path / "access.yaml", keys=keys, jwt=jwt)
    with serve_tiny(redis_url, access=str(file)) as server:
        assert [status(server, limited) for _ in range(4)] == [200, 200, 200, 429]
        assert [status(server, free) for _ in range(6)] == [200] * 6
        where = server.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(where, timeout=30)) as connection:
            connection.request("POST", "/v1/models/events:predict", b"{}", bearer(limited))
            response = connection.getresponse()
            wait_s = int(response.headers["retry-after"])
            assert response.status == 429
            assert 50 <= wait_s <= 61
            assert f"send the next call in {wait_s} s" in json.loads(response.read())["error"]
        with pytest.raises(grpc.RpcError) as raised:
            server.infer(pb.ModelInferRequest(model_name="items"), metadata=tuple(bearer(limited).items()))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 50 <= int(dict(raised.value.trailing_metadata())["retry-after"]) <= 61
        for subject in ("a", "b"):
            tokens = [issuer.token(sub=subject, jti=str(number)) for number in range(4)]
            assert [status(server, token) for token in tokens] == [200, 200, 200, 429]
        assert over_grpc(server, "recommender", bearer(free)) is grpc.StatusCode.OK
        assert server.metric('winnow_access_total{caller="limited",outcome="rate"}') == 3


def test_two_processes_share_the_limit_of_a_key(published: Release, redis_url: str, tmp_path: Path) -> None:
    per_second, burst, seconds = 5, 5, 8.0
    key = new_key()
    file = write(tmp_path / "access.yaml", keys=[entry("shared", key, rate=f"{per_second}/s", burst=burst)])
    counts: Counter[int] = Counter()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                serving_published(published, redis_url, tmp_path / f"{number}.log", access=str(file), max_in_flight=100)
            )
            for number in range(2)
        ]
        started = time.monotonic()

        def ask(server: Server) -> None:
            headers = bearer(key) | {"content-type": "application/json"}
            with closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)) as connection:
                while time.monotonic() < started + seconds:
                    connection.request("POST", "/v1/models/recommender:predict", BODY, headers)
                    response = connection.getresponse()
                    response.read()
                    counts[response.status] += 1

        threads = [threading.Thread(target=ask, args=(server,)) for server in servers for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - started
    assert set(counts) == {200, 429}
    # The documented bound: the rate, one burst, and one more for the second process.
    assert counts[200] <= per_second * took + 2 * burst
    # Two separate limits would have admitted twice as much; and it is not less than the limit grants.
    assert counts[200] > 0.7 * per_second * seconds


def test_without_redis_each_process_limits_by_itself(published: Release, redis_url: str, tmp_path: Path) -> None:
    key = new_key()
    file = write(tmp_path / "access.yaml", keys=[entry("limited", key, rate="1/min", burst=3)])
    url = "redis://127.0.0.1:1/0"
    with serving_published(published, url, tmp_path / "server.log", access=str(file)) as server:
        assert [status(server, key) for _ in range(4)] == [200, 200, 200, 429]
    assert (tmp_path / "server.log").read_text().count("each process limits by itself") == 1
