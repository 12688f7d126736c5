"""A real Prometheus with the manifests' rules scrapes the local stack: every series that the rules query exists.

A second transformer stands in for the canary. A cluster's own series come from the real kube-state-metrics over a
real API server, which holds the pods and autoscalers as the kubelet and the autoscalers' controllers would write them.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import yaml

from cluster_validation.api_server.server import ApiServer, api_server
from cluster_validation.api_server.state_metrics import kube_state_metrics
from cluster_validation.manifests.objects import ToolMissing, outside, render
from cluster_validation.metrics.expressions import expressions
from cluster_validation.metrics.promql import metrics_of, watched
from tests.support.transformer_process import transformer
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports

LOAD_S = 45
"""Long enough for two scrapes within every rate, and for the sidecar to rewrite the trending list."""

Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[int | None]:
    """The port of kube-state-metrics; ``None`` where it or the API server is missing."""
    try:
        with api_server() as server, kube_state_metrics(server) as port:
            _populate(server)
            yield port
    except ToolMissing:
        yield None


def _populate(server: ApiServer) -> None:
    server.apply(render("gpu").of("Namespace"))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "recommender-transformer"}
    _write(
        server,
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa"}}
        | {"spec": {"maxReplicas": 20, "scaleTargetRef": target}},
        {"currentReplicas": 2, "desiredReplicas": 3},
    )
    container = {"name": "kserve-container", "image": "winnow/serving"}
    restricted = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    container |= {"securityContext": restricted | {"seccompProfile": {"type": "RuntimeDefault"}}}
    running = {"name": "kserve-container", "image": "winnow/serving", "imageID": "", "ready": True, "restartCount": 1}
    _write(
        server,
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "recommender-transformer-0"}}
        | {"spec": {"containers": [container]}},
        {"phase": "Running", "containerStatuses": [running]},
    )


def _write(server: ApiServer, each: dict[str, Any], status: dict[str, Any]) -> None:
    each["metadata"]["namespace"] = "winnow"
    server.apply([each])
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    server.kubectl("patch", each["kind"], each["metadata"]["name"], "-n", "winnow", *patch)


@pytest.fixture(scope="module")
def query(served, cluster, tmp_path_factory) -> Iterator[Query]:
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not on the PATH (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    rules = {f"{each['metadata']['name']}.yaml": each["spec"]["groups"] for each in render("gpu").of("PrometheusRule")}
    for name, groups in rules.items():
        # Recorded every few seconds, so that the test need not wait for an hour.
        (folder / name).write_text(yaml.safe_dump({"groups": [group | {"interval": "5s"} for group in groups]}))
    port = Ports.free().http
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    redis = f"redis://127.0.0.1:{served.ports.redis}/0"
    with ExitStack() as exits:
        _, canary = exits.enter_context(transformer(served.release, served.ports, redis))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_settings(served, canary, cluster, list(rules))))
        exits.enter_context(
            Process("prometheus", command, log=folder / "log", ready=lambda: http_ok(port, "/-/ready"), timeout=30.0)
        )
        http = exits.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        _use(served, exits.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{canary}", trust_env=False)))

        def ask(text: str) -> list[dict[str, Any]]:
            answer = http.get("/api/v1/query", params={"query": text.replace("$chain", ".*")})
            assert answer.status_code == 200, answer.text
            found: list[dict[str, Any]] = answer.json()["data"]["result"]
            return found

        yield ask


def _settings(served: Any, canary: int, cluster: int | None, rules: list[str]) -> dict[str, Any]:
    def scraped(*ports: int, **labels: str) -> dict[str, Any]:
        return {"targets": [f"127.0.0.1:{port}" for port in ports], "labels": labels}

    release = str(served.release.manifest.number)
    chains = [
        scraped(
            *(served.ports.http, served.ports.sidecar, served.ports.triton_metrics),
            chain="recommender",
            release=release,
        ),
        scraped(canary, chain="recommender-canary", release=release),
    ]
    jobs: list[dict[str, Any]] = [{"job_name": "winnow", "static_configs": chains}]
    if cluster is not None:
        jobs.append({"job_name": "kubernetes", "honor_labels": True, "static_configs": [scraped(cluster)]})
    return {
        "global": {"scrape_interval": "2s", "evaluation_interval": "5s"},
        "rule_files": rules,
        "scrape_configs": jobs,
    }


def _use(served: Any, canary: httpx.Client) -> None:
    users = served.release.array("user_ids")[1:].tolist()
    items = served.release.strings("item_ids")[1:].tolist()
    until = time.monotonic() + LOAD_S
    turn = 0
    while time.monotonic() < until:
        user, item = users[turn % len(users)], items[turn % len(items)]
        served.recommend(user, k=10)
        body = {"instances": [{"user_id": user, "k": 10}]}
        canary.post("/v1/models/recommender:predict", json=body).raise_for_status()
        event = {"user_id": user, "item_id": item, "event": "view"}
        served.http.post("/v1/models/events:predict", json={"instances": [event]}).raise_for_status()
        turn += 1
        time.sleep(0.02)


def _of_a_cluster(text: str) -> bool:
    return any(name.startswith("kube_") for name in metrics_of(text))


def test_every_queried_series_exists_under_load(query):
    asked = [(each, text) for each in expressions(render("gpu")) for text in watched(each.text)]
    here = [(each, text) for each, text in asked if not _of_a_cluster(text)]
    assert len(here) > 50
    assert [f"{each.where}: {text}" for each, text in here if not query(text)] == []


def test_every_queried_cluster_series_is_of_kube_state_metrics(query, cluster):
    if cluster is None:
        pytest.skip("no kube-state-metrics, kubectl or schemas of the custom kinds: see `make apiserver`")
    asked = [(each, text) for each in expressions(render("gpu")) for text in watched(each.text) if _of_a_cluster(text)]
    assert len(asked) > 3
    assert [f"{each.where}: {text}" for each, text in asked if not query(text)] == []


def test_cluster_series_are_listed_by_name():
    """The list of cluster series has no misspelt name, which the first test would skip."""
    known = outside()["metrics"]
    for each in expressions(render("gpu")):
        for name in metrics_of(each.text):
            assert not name.startswith("kube_") or name in known


def test_no_alert_fires_for_a_healthy_stack(query):
    # A user whose state could not be read in time is recommended without the seen filter, and counted.
    firing = {found["metric"]["alertname"] for found in query('ALERTS{alertstate="firing", reason!="not read"}')}
    assert firing <= {"WinnowSlowFast", "WinnowTritonQueue"}, "a busy machine may only be slow"
