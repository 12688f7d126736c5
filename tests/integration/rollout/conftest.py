"""A cluster with a stable chain of release 1, whose traffic and pods the test plays."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config
from kubernetes.client import ApiClient

from cluster_validation.api_server.kserve import kserve
from cluster_validation.api_server.server import ApiServer, api_server
from cluster_validation.manifests.objects import ToolMissing, render
from kfp_pipelines.rollout.controller import roll_out
from kfp_pipelines.rollout.settings import Place, RolloutSettings
from tests.support.cluster.accounts import create_pipelines_account, kubeconfig_of_pipelines
from tests.support.cluster.planted import Planted, planted
from tests.support.cluster.rollout import Players
from tests.support.until import until
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports

SCRAPE = "250ms"

RollOut = Callable[..., list[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    try:
        with api_server() as running, kserve(running):
            create_pipelines_account(running)
            running.apply(render("gpu").of("Namespace"))
            running.apply(render("gpu").all)
            yield running
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def exporter() -> Iterator[Planted]:
    with planted(Ports.free().http, "recommender", "recommender-canary") as running:
        yield running


@pytest.fixture(scope="module")
def place(exporter: Planted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The chains' place, with a Prometheus that scrapes the planted metrics."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not on the PATH (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    target = {"targets": [f"127.0.0.1:{exporter.port}"]}
    scrape = {"job_name": "planted", "static_configs": [target], "scrape_interval": SCRAPE, "scrape_timeout": SCRAPE}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    port = Ports.free().http
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    ready = {"ready": lambda: http_ok(port, "/-/ready"), "timeout": 60.0}
    with Process("prometheus", command, log=folder / "log", **ready):
        yield Place(prometheus=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def playing(server: ApiServer, exporter: Planted, place: Place) -> Iterator[Players]:
    with Players(server, exporter, place) as running:
        yield running


@pytest.fixture
def players(playing: Players) -> Iterator[Players]:
    """The players of a cluster whose stable chain serves all users; every test has to leave it so."""
    until(lambda: playing.shares[-1:] == [0], 30)
    playing.reset()
    yield playing
    playing.reset()


@pytest.fixture(scope="module")
def kubeconfig(server: ApiServer) -> Path:
    """Of the pipelines' account."""
    return kubeconfig_of_pipelines(server)


@pytest.fixture(scope="module")
def account(kubeconfig: Path) -> Iterator[ApiClient]:
    """A client with the rights of the pipelines' account."""
    config_of: Any = config.new_client_from_config
    with config_of(str(kubeconfig)) as connected:
        yield connected


@pytest.fixture
def rolled_out(account: ApiClient, place: Place) -> RollOut:
    """Roll a release out with settings; returns the shown lines, also where it fails (as ``lines``)."""

    def run(release: int, lines: list[str] | None = None, lease_s: int = 2, **settings: Any) -> list[str]:
        shown = [] if lines is None else lines
        bounds = RolloutSettings(**{"interval_s": 1.0} | settings)
        roll_out(release, place, bounds, client=account, show=shown.append, lease_s=lease_s)
        return shown

    return run
