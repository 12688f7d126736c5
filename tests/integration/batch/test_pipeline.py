"""The pipeline of batches, step by step as a cluster runs it: from releases on S3 to lists on S3."""

import io
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
from kfp.compiler import Compiler

from kfp_pipelines.batch.batch_recommendation import batch_recommendation
from tests.integration.batch.conftest import USERS
from tests.support.pipelines.cluster import Cluster, StepFailed
from winnow import files
from winnow.lifecycle.live import promote
from winnow.lifecycle.transfer import upload
from winnow.release import Release

BUCKET = "s3://winnow-batch-pipeline"
HOME, OUTPUT = f"{BUCKET}/home", f"{BUCKET}/lists"


@pytest.mark.timeout(600)
def test_the_live_release_recommends_to_all_users_and_to_those_of_a_file(
    aws: None, release: Release, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix(files.S3))
    monkeypatch.setenv("REDIS_URL", redis_url)
    package = tmp_path / "batch.yaml"
    Compiler().compile(batch_recommendation, str(package))
    (tmp_path / "pods").mkdir()
    cluster = Cluster(f"{BUCKET}/runs", tmp_path / "pods")
    upload(release.folder.parents[1], HOME, release.manifest.number)
    given = {"home": HOME, "output": OUTPUT, "k": 4, "workers": 2}
    with pytest.raises(StepFailed, match=r"has no live release: promote one, or name the parameter number"):
        cluster.run(package, **given)

    promote(HOME, release.manifest.number)
    run = cluster.run(package, **given)
    assert run.ran == ["choose", "recommend"]
    folder = run.outputs["recommend"]["Output"]
    assert folder == run.outputs["choose"]["folder"]
    assert folder.startswith(f"{OUTPUT}/")
    assert folder.endswith(f"-release-{release.manifest.number}")
    [part] = files.listed(folder, ".parquet")
    rows = pq.read_table(io.BytesIO(files.read(part))).to_pylist()
    assert len(rows) == USERS
    assert all(len(row["item_ids"]) == 4 for row in rows)
    assert files.size(f"{folder}/_SUCCESS") > 0

    users = f"{BUCKET}/segment.csv"
    files.write(users, b"user_id\nsomebody\nsomebody else\n")
    again = cluster.run(package, **given, number=release.manifest.number, users=users)
    [part] = files.listed(again.outputs["recommend"]["Output"], ".parquet")
    rows = pq.read_table(io.BytesIO(files.read(part))).to_pylist()
    assert [row["user_id"] for row in rows] == ["somebody", "somebody else"]
    assert [path.name for path in (tmp_path / "pods").iterdir()] == []
