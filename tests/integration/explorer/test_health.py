"""The health of a stack: its figures are those of the load that was put on it."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.explorer.conftest import NUMBER, Explore
from tests.support.explorer.site import Site
from tests.support.sidecar.process import start_sidecar
from tests.support.transformer_server import Server, free_port
from tests.support.until import until
from winnow.release import Release


@pytest.fixture(scope="module")
def sidecar(explored_home: Path, explored_server: Server, redis_url: str) -> Iterator[str]:
    """Address of the metrics of the release's sidecar."""
    port = free_port()
    process = start_sidecar(Release.open(explored_home / "releases" / str(NUMBER)), redis_url, explored_home, port)
    yield f"http://127.0.0.1:{port}/metrics"
    process.terminate()
    process.wait(20)


def figure(text: str, name: str) -> str:
    """A figure and the words under it."""
    found = re.search(rf"<span>{re.escape(name)}</span><strong>(.*?)</div>", text, re.DOTALL)
    assert found, (name, text)
    return re.sub(r"<svg.*?</svg>", "", found[1], flags=re.DOTALL)


def test_figures_are_those_of_the_load(explore: Explore, sidecar: str) -> None:
    with explore(f"--metrics={sidecar}") as site:
        assert site.server is not None
        first = site.text("/health")
        assert "Rates need two readings" in first or "requests" in first
        for number in range(30):
            status, _ = site.server.v1({"user_id": f"user-{number % 20}", "k": 5})
            assert status == 200
        event = {"item_id": "item-3", "event": "view"}
        status, _ = site.server.v1(*({"user_id": f"user-{user}"} | event for user in range(12)), model="events")
        assert status == 200
        text = ""

        def counted() -> bool:
            nonlocal text
            text = site.text("/health", span=600)
            return "30 requests" in text and "12 stored, 12 applied" in text

        until(counted)
        assert "100.0% " not in figure(text, "Degraded")
        assert re.match(r"\d+(\.\d+)? ms", figure(text, "p50"))
        assert "ago" in figure(text, "Newest event applied")
        assert figure(text, "Waiting").startswith("0")
        for component in ("retriever", "covisitation", "trending", "ranker", "mmr"):
            assert f'<th scope="row">{component}</th>' in text
        assert "were not read" not in text


def test_filters_are_measured_on_a_sample(explore: Explore, sidecar: str) -> None:
    with explore(f"--metrics={sidecar}") as site:
        text = site.text("/health")
        measured = figure(text, "False positives")
        wrong, asked = re.search(r"([\d,]+) of ([\d,]+) unseen items", measured).groups()  # type: ignore[union-attr]
        assert int(asked.replace(",", "")) > 1000
        assert int(wrong.replace(",", "")) <= 0.03 * int(asked.replace(",", ""))
        assert "mean of 20 users" in figure(text, "Bits set")


def test_the_live_part_alone_is_renewed(site: Site) -> None:
    response = site.http.get("/health", params={"span": 10}, headers={"HX-Request": "true", "HX-Target": "live"})
    assert response.status_code == 200
    assert "<html" not in response.text
    assert "Recommendations" in response.text
    assert 'hx-trigger="every 5s"' in site.text("/health")
    assert "hx-trigger" not in site.text("/health", live="no")


def test_a_process_that_is_away_is_named(explore: Explore) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with explore(f"--metrics=http://127.0.0.1:{unused.getsockname()[1]}/metrics") as site:
            text = site.text("/health")
    assert "The metrics of the process 1 were not read" in text


def test_a_page_that_is_no_metrics_is_named(explore: Explore, explored_server: Server) -> None:
    with explore(f"--metrics={explored_server.url}/openapi.json") as site:
        assert "its metrics cannot be read" in site.text("/health")


@pytest.mark.parametrize("span", ["", "0", "x", "61"])
def test_another_interval_is_refused(site: Site, span: str) -> None:
    assert site.http.get("/health", params={"span": span}).status_code == 400
