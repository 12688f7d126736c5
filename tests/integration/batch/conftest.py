"""A release with real graphs, published in the Redis of a file, and a transformer that serves it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.paths import ROOT
from tests.support.transformer_process import transformer
from winnow import protocols
from winnow.batch import plan
from winnow.batch.run import BatchOptions, Outcome, run
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import Answer
from winnow.store.publish import publish

USERS = 90
PART = 20

Batch = Callable[..., Outcome]
Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release with real graphs, whose weights are random."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "benchmarks.scale.subjects.untrained_release", "120"]
    subprocess.run(
        [*command, f"--users={USERS}", "--events=900"],
        env=os.environ | {"WINNOW_HOME": str(home)},
        check=True,
        cwd=ROOT,
        timeout=300,
    )
    return Release.open(home / "releases" / "1")


@pytest.fixture(scope="session")
def repository(built: Release) -> Path:
    return built.folder.parents[1] / "model_repository" / built.folder.name


@pytest.fixture(scope="module")
def release(built: Release, redis_url: str) -> Release:
    """The release, published there."""
    publish(built.folder, redis_url, show_progress=False)
    return built


@pytest.fixture
def batch(release: Release, repository: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Run a batch with small parts and two workers: ``batch(output, k=5)``."""
    monkeypatch.setattr(plan, "PART_USERS", PART)

    def compute(output: Path | str, **options: Any) -> Outcome:
        given: dict[str, Any] = {"predictor": repository, "redis_url": redis_url, "k": 5, "workers": 2} | options
        return run(BatchOptions(release=release, output=str(output), **given))

    return compute


@pytest.fixture(scope="module")
def endpoint(release: Release, repository: Path, redis_url: str) -> Iterator[httpx.Client]:
    """A running transformer."""
    serving = transformer(release, Ports.free(), redis_url, "--reuse-seconds=0", repository=repository)
    with serving as (_, port), protocols.http(port) as connected:
        yield connected


@pytest.fixture(scope="module")
def ask(endpoint: httpx.Client) -> Ask:
    """Ask the transformer over HTTP: ``ask(user_id, k=5)``."""

    def over_http(user_id: str, **fields: Any) -> Answer:
        given = {"user_id": user_id, "k": 5, "deadline_ms": protocols.PATIENCE_MS} | fields
        [answer] = protocols.over_http_v1(endpoint, [given])
        return answer

    return over_http


def read(output: Path) -> pa.Table:
    """All parts of a batch, in their order."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(output.glob("part-*.parquet")))


def content(output: Path) -> list[dict[str, Any]]:
    """The rows of a batch without the time of their computation."""
    rows: list[dict[str, Any]] = read(output).drop_columns(["computed_at"]).to_pylist()
    return rows
