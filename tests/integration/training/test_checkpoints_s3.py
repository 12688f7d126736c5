"""Checkpoints on S3, against an HTTP server that speaks AWS's API, behave as those in a folder."""

import tempfile
from pathlib import Path

import boto3
import pytest
import torch

from winnow import files
from winnow.errors import WinnowError
from winnow.training.loop import checkpoint_files
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.ranks import Ranks

ADDRESS = "s3://winnow-checkpoints/shop/training"


@pytest.fixture(scope="module", autouse=True)
def bucket(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="winnow-checkpoints")


@pytest.fixture(autouse=True)
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def save(*steps: int, run: str = "run") -> None:
    checkpoints = Checkpoints(ADDRESS, run, 0, 2, Ranks())
    for step in steps:
        checkpoints.save({"step": step}, {"a": torch.full((3,), float(step)), "b": torch.tensor(step)})
    checkpoints.close()


def newest_step(run: str = "run") -> object:
    found, into = Checkpoints(ADDRESS, run, 0, 2, Ranks()).newest(), {"a": torch.zeros(3), "b": torch.tensor(0)}
    if found is None:
        return None
    found.load(into)
    assert into["a"].tolist() == [into["b"].item()] * 3 == [found.position["step"]] * 3
    return found.position["step"]


def test_the_newest_are_kept_read_and_nothing_stays_on_the_disk(staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "_FILE_BYTES", 8)
    files.write(f"{ADDRESS}-others/000001/manifest.json", b"of a prefix that begins alike")
    save(1, 2, 3)
    assert newest_step() == 3
    kept = {address.split("/")[-2] for address in files.walk(ADDRESS)}
    assert kept == {"000002", "000003"}
    assert not list(staging.iterdir())
    discarding = Checkpoints(ADDRESS, "run", 0, 2, Ranks())
    discarding.discard()
    discarding.close()
    assert files.walk(ADDRESS) == []
    assert len(files.walk(f"{ADDRESS}-others")) == 1


def test_a_damaged_or_unfinished_checkpoint_is_skipped(staging: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(1, 2, 3, run="damaged")
    run = files.walk(ADDRESS)[-1].rsplit("/", 2)[0]
    files.delete(f"{run}/000003/manifest.json")
    model = f"{run}/000002/model-00001-of-00001.safetensors"
    content = files.read(model)
    files.write(model, content[:-1] + b"?")
    assert newest_step("damaged") is None
    assert f"{model} has another SHA-256" in caplog.text
    files.delete(model)
    assert newest_step("damaged") is None
    assert f"{model}: No such object" in caplog.text
    files.write(model, content)
    assert newest_step("damaged") == 2
    assert not list(staging.iterdir())


def test_a_missing_bucket_is_named_with_the_remedy() -> None:
    checkpoints = Checkpoints("s3://no-such-bucket/x", "run", 0, 2, Ranks())
    with pytest.raises(WinnowError, match=r"no-such-bucket/.* cannot be reached: .*NoSuchBucket"):
        checkpoints.newest()
    checkpoints.save({}, {"a": torch.zeros(1)})
    with pytest.raises(WinnowError, match=r"no-such-bucket/.* cannot be reached: .*NoSuchBucket"):
        checkpoints.close()
