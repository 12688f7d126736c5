"""The rules of the cluster's manifests, served: items are closed until there are keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import yaml

from tests.support.access.calls import entry, over_grpc, over_http, write
from tests.support.paths import ROOT
from tests.support.until import until
from winnow.settings.access import new_key


def test_only_recommendations_and_events_are_open_on_a_new_cluster(
    serve_tiny: Callable[..., Any], redis_url: str, tmp_path: Path
) -> None:
    folder, key = tmp_path / "access", new_key()
    folder.mkdir()
    manifest = yaml.safe_load((ROOT / "kserve_manifests/base/access.yaml").read_text())
    for name, text in manifest["data"].items():
        (folder / name).write_text(text)
    with serve_tiny(redis_url, access=str(folder)) as server:
        assert over_http(server, "recommender", {})["v1"] == 200
        assert set(over_http(server, "events", {}).values()) == {200}
        for given in ({}, {"x-api-key": key}):
            for model in ("items", "users", "rules"):
                statuses = over_http(server, model, given)
                assert statuses == dict.fromkeys(statuses, 401)
                assert over_grpc(server, model, given) is grpc.StatusCode.UNAUTHENTICATED
        message = "access: this call needs a key, and this server has none yet: add one"
        assert server.v1({}, model="items")[1]["error"] == message
        write(folder / "keys.yaml", keys=[entry("operator", key, scopes=["catalog"])])
        until(lambda: over_http(server, "items", {"x-api-key": key})["v1"] == 200, 20)
        assert over_http(server, "items", {})["v1"] == 401
