"""The product's own clients send the key of ``WINNOW_API_KEY``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.access.calls import Keys, write
from winnow import protocols
from winnow.errors import WinnowError


def test_they_send_the_key_over_every_protocol(
    serve_tiny: Callable[..., Any], redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys()
    access = write(tmp_path / "access.yaml", keys=keys.entries())
    with serve_tiny(redis_url, access=str(access)) as server:

        def call() -> list[Any]:
            with protocols.http(server.ports[0]) as http, protocols.grpc(server.ports[1]) as grpc:
                asked = [{"user_id": "user-1", "k": 3}]
                answers = [
                    protocols.over_http_v1(http, asked),
                    protocols.over_http_v2(http, asked),
                    protocols.over_grpc(grpc, asked),
                ]
                protocols.send_events(http, [{"user_id": "user-1", "item_id": "item-3", "event": "view"}])
                protocols.add_items(http, [{"item_id": "n-1", "title": "new"}])
            return answers

        monkeypatch.setenv(protocols.KEY, keys.every)
        assert all(len(answer[0]["items"]) == 3 for answer in call())
        monkeypatch.delenv(protocols.KEY)
        with pytest.raises(WinnowError, match=r"refused with 401: .*; the key is taken from WINNOW_API_KEY"):
            call()
        monkeypatch.setenv(protocols.KEY, keys.by_scope["recommend"])
        with pytest.raises(WinnowError, match=r"refused with 403: .* scope events"):
            call()
