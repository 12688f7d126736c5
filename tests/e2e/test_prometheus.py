"""A real Prometheus with the manifests' rules scrapes the local stack: what is asked for there, it has."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import yaml

from validation.objects import outside, render
from validation.promql import expressions, metrics_of, watched
from winnow.local.ports import Ports
from winnow.local.processes import Process, http_ok

LOAD_S = 45
"""Long enough for two scrapes within every rate, and for the sidecar to rewrite the trending list."""

Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def query(served, tmp_path_factory) -> Iterator[Query]:
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not on the PATH (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    rules = {f"{each['metadata']['name']}.yaml": each["spec"]["groups"] for each in render("gpu").of("PrometheusRule")}
    for name, groups in rules.items():
        # Recorded every few seconds, as there is no hour to wait.
        (folder / name).write_text(yaml.safe_dump({"groups": [group | {"interval": "5s"} for group in groups]}))
    ports = (served.ports.http, served.ports.sidecar, served.ports.triton_metrics)
    scraped = {
        "targets": [f"127.0.0.1:{port}" for port in ports],
        "labels": {"chain": "recommender", "release": str(served.release.manifest.number)},
    }
    settings = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "5s"},
        "rule_files": list(rules),
        "scrape_configs": [{"job_name": "winnow", "static_configs": [scraped]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = Ports.free().http
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with ExitStack() as exits:
        exits.enter_context(
            Process("prometheus", command, log=folder / "log", ready=lambda: http_ok(port, "/-/ready"), timeout=30.0)
        )
        http = exits.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        _use(served)

        def ask(text: str) -> list[dict[str, Any]]:
            answer = http.get("/api/v1/query", params={"query": text.replace("$chain", ".*")})
            assert answer.status_code == 200, answer.text
            found: list[dict[str, Any]] = answer.json()["data"]["result"]
            return found

        yield ask


def _use(served: Any) -> None:
    users, items = (served.release.array(name)[1:].tolist() for name in ("user_ids", "item_ids"))
    until = time.monotonic() + LOAD_S
    turn = 0
    while time.monotonic() < until:
        user, item = users[turn % len(users)], items[turn % len(items)]
        served.recommend(user, k=10)
        event = {"user_id": user, "item_id": item, "event": "view"}
        served.http.post("/v1/models/events:predict", json={"instances": [event]}).raise_for_status()
        turn += 1
        time.sleep(0.02)


def _of_a_cluster(text: str) -> bool:
    """Whether an expression asks for what only a cluster or a GPU has."""
    return any(name.startswith(("kube_", "nv_gpu_")) for name in metrics_of(text)) or "recommender-canary" in text


def test_what_is_asked_for_is_there_under_load(query):
    asked = [(each, text) for each in expressions(render("gpu")) for text in watched(each.text)]
    here = [(each, text) for each, text in asked if not _of_a_cluster(text)]
    assert len(here) > 50
    assert [f"{each.where}: {text}" for each, text in here if not query(text)] == []


def test_what_only_a_cluster_has_is_known_by_name():
    """So that nothing is left out of the test above by a misspelling."""
    known = outside()["metrics"]
    for each in expressions(render("gpu")):
        for name in metrics_of(each.text):
            assert not name.startswith(("kube_", "nv_gpu_")) or name in known


def test_nothing_is_alarming_about_a_healthy_stack(query):
    firing = {found["metric"]["alertname"] for found in query('ALERTS{alertstate="firing"}')}
    assert firing <= {"WinnowSlowFast", "WinnowTritonQueue"}, "a busy machine may be slow, nothing else"
