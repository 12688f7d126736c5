"""The packages run as on a cluster: from data on S3 to a live release on S3, which another process serves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from kfp.compiler import Compiler

from kfp_pipelines.lifecycle.promotion import promotion
from kfp_pipelines.lifecycle.retraining import retraining
from kfp_pipelines.lifecycle.rollback import rollback
from tests.support.pipelines.cluster import Cluster, StepFailed
from winnow import files
from winnow.evaluation import record
from winnow.lifecycle.gate import Verdict
from winnow.lifecycle.live import live
from winnow.lifecycle.transfer import numbers

BUCKET = "s3://winnow-pipelines"
DATA, HOME = f"{BUCKET}/data", f"{BUCKET}/home"
USERS, ITEMS, START = 40, 8, 1_700_000_000_000
TRAINING = "retriever: {max_epochs: 1}\nranker: {epochs: 1}"
LENIENT = """
metrics: {changes: {}, beaten: {}}
data: {largest_volume: 10, share_change: 1}
replay: {requests: 5}
load: {per_second: 2, seconds: 1, p99_ms: 60000}
"""
STRICT = f"{LENIENT}\nparity: {{scores: 1.0e-12}}"
SERVED = """
import sys
from pathlib import Path
from winnow import home
from winnow.protocols import http, over_http_v1
from winnow.lifecycle.transfer import download
from winnow.local.stack import Stack
from winnow.ports import Ports
release = download(sys.argv[1], int(sys.argv[2]), home.home())
ports = Ports.free()
with Stack(release.manifest.number, ports, predictor="embedded", show_progress=False), http(ports.http) as endpoint:
    [answer] = over_http_v1(endpoint, [{"user_id": "u1", "k": 3, "deadline_ms": 5000}])
print(len(answer["items"]), answer["degraded"])
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    for pipeline in (retraining, promotion, rollback):
        Compiler().compile(pipeline, str(folder / f"{pipeline.name}.yaml"))
    return {path.stem: path for path in folder.iterdir()}


def write_log(name: str, start: int) -> None:
    """Add a file to the log: every user visits five items, a minute apart."""
    rows = [
        f"u{user},i{(user * 3 + step * (1 + user % 3)) % ITEMS},view,{start + user * 10_000 + step * 60_000}"
        for user in range(USERS)
        for step in range(5)
    ]
    files.write(f"{DATA}/events/{name}.csv", "\n".join(["user_id,item_id,event,timestamp", *rows]).encode())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_data_on_s3_to_a_live_release(aws: None, packages: dict[str, Path], tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix(files.S3))
    files.write(f"{DATA}/dataset.yaml", b"name: shop\nevents: {view: 1}\nrepeats: allow\n")
    files.write(f"{DATA}/items.csv", "\n".join(["item_id", *(f"i{item}" for item in range(ITEMS))]).encode())
    write_log("first", START)
    cluster = Cluster(f"{BUCKET}/runs", tmp_path)
    given = {"data": DATA, "home": HOME, "training": TRAINING, "gate": LENIENT}

    # A failed gate names the check, and nothing is published.
    with pytest.raises(StepFailed, match=r"judge: (?s:.*)the gate refused release 1, nothing is published: parity"):
        cluster.run(packages["retraining"], **given | {"gate": STRICT})
    assert numbers(HOME) == []
    assert live(HOME) is None

    # The next run continues with what that one has built; the release has its number.
    first = cluster.run(packages["retraining"], **given)
    assert {"ingest", "encode", "train", "export"} <= set(first.cached)
    assert numbers(HOME) == [1]
    assert live(HOME).release == 1  # type: ignore[union-attr]
    assert files.read(f"{HOME}/evaluations/1/report.html").startswith(b"<!")
    verdict = Verdict.model_validate_json(files.read(f"{HOME}/evaluations/1/gate.json"))
    assert verdict.passed
    assert {check.name.partition(":")[0] for check in verdict.checks} >= {"files", "replay", "load"}

    # Without new data, nothing but the look at it runs.
    again = cluster.run(packages["retraining"], **given)
    assert again.ran == ["fingerprint", "standing"]
    assert again.skipped == ["condition-1"]

    # With new data, everything does, and the new release was compared with the live one.
    write_log("second", START + 86_400_000)
    second = cluster.run(packages["retraining"], **given)
    assert second.cached == []
    assert numbers(HOME) == [1, 2]
    measured = record.read(HOME, 2)
    assert measured is not None
    assert measured.live == 1
    manifests = [json.loads(files.read(f"{HOME}/releases/{number}/manifest.json")) for number in (1, 2)]
    assert manifests[0]["as_of"] < START + 86_400_000 < manifests[1]["as_of"]
    assert {manifest["holdout"] for manifest in manifests} == {"none"}

    served = subprocess.run(
        [sys.executable, "-c", SERVED, HOME, "2"],
        cwd=tmp_path,
        env=os.environ | {"WINNOW_HOME": str(tmp_path / "served")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert served.stdout.split("\n")[0] == "3 []", served.stderr

    cluster.run(packages["rollback"], home=HOME)
    assert live(HOME).release == 1  # type: ignore[union-attr]
    # What was rolled back stays so until a person promotes it.
    cluster.run(packages["retraining"], **given)
    assert live(HOME).release == 1  # type: ignore[union-attr]
    cluster.run(packages["promotion"], home=HOME, number=2)
    assert live(HOME).release == 2  # type: ignore[union-attr]
    # The pods left nothing behind.
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
