"""Servers that tests of several folders use."""

import os
import sys
from collections.abc import Iterator

import boto3
import pytest

from tests.support.redis_cluster import redis_cluster
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """A Redis Cluster of three masters shared by the session's tests: every test uses keys of its own."""
    with redis_cluster() as cluster:
        yield cluster.url


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local server of AWS's API, empty except for AWS's managed policies; every AWS client is sent to it."""
    port = Ports.free().http
    server = Process(
        "AWS API server",
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        log=tmp_path_factory.mktemp("aws") / "log",
        ready=lambda: http_ok(port, "/moto-api/"),
        environment=os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
    )
    with server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.setup_default_session()
        yield
