"""A batch whose output and list of users are on S3."""

import io
import json
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from tests.integration.batch.conftest import PART, Batch
from winnow import files
from winnow.errors import WinnowError
from winnow.release import Release

BUCKET = "s3://winnow-batches"


def rows(output: str) -> list[dict[str, Any]]:
    parts = files.listed(output, ".parquet")
    return [row for part in parts for row in pq.read_table(io.BytesIO(files.read(part))).to_pylist()]


def test_a_batch_on_s3_continues_there(aws: None, batch: Batch, release: Release) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix(files.S3))
    users, output = f"{BUCKET}/lists/segment.txt", f"{BUCKET}/nightly/monday"
    ids = [*release.array("user_ids").tolist()[:50], "somebody"]
    files.write(users, "\n".join(ids).encode())
    assert batch(output, users=users).computed == 51
    names = [address.removeprefix(f"{output}/") for address in files.walk(output)]
    assert names == ["_SUCCESS", "_batch.json", "_users", *(f"part-0000{number}.parquet" for number in range(3))]
    found = rows(output)
    assert [row["user_id"] for row in found] == ids
    assert all(len(row["item_ids"]) == len(row["scores"]) == 5 for row in found)

    files.delete(f"{output}/part-00001.parquet")
    files.delete(f"{output}/_SUCCESS")
    again = batch(output, users=users)
    assert (again.computed, again.skipped) == (PART, 51 - PART)
    assert [row["item_ids"] for row in rows(output)] == [row["item_ids"] for row in found]
    assert json.loads(files.read(f"{output}/_SUCCESS"))["users"] == 51
    with pytest.raises(WinnowError, match=r"^s3://winnow-batches/nightly/monday has a batch with other settings: k 5"):
        batch(output, users=users, k=7)
    with pytest.raises(WinnowError, match=r"^s3://winnow-batches/lists/none\.csv: No such object"):
        batch(f"{BUCKET}/other", users=f"{BUCKET}/lists/none.csv")
