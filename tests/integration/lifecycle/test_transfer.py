"""Numbers are claimed once, and a home has whole releases only: in a folder and on a server of the S3 API."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import boto3
import pytest

from tests.support.lifecycle.homes import add_release
from winnow import files
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.lifecycle.claims import claim
from winnow.lifecycle.start import at_hand
from winnow.lifecycle.transfer import download, numbers, upload
from winnow.release import Release, sha256

BUCKET = "winnow-transfer"
HOMES = count()

# Kills its process before it writes the file of this position; the manifest has the last.
KILLED = """
import os, signal, sys
from itertools import count
from pathlib import Path
from winnow import files
from winnow.lifecycle import transfer
folder, home, position = sys.argv[1:]
written = count()
def before(write):
    def killed(*given):
        if next(written) == int(position):
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*given)
    return killed
files.upload, files.write = before(files.upload), before(files.write)
transfer.upload(Path(folder), home, 1)
"""


@pytest.fixture(scope="module", autouse=True)
def bucket(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET)


@pytest.fixture(params=["folder", "s3"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "home") if request.param == "folder" else f"s3://{BUCKET}/{next(HOMES)}"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A home on this machine with release 1, a model of several parts, and an evaluation."""
    folder = tmp_path / "built"
    release = add_release(folder, 1)
    # Larger than a part of an upload.
    model = folder / "model_repository/1/ranker/1/model.onnx"
    model.write_bytes(bytes(range(256)) * 40_000)
    models = release.manifest.models | {"ranker": sha256(model)}
    (release.folder / "manifest.json").write_text(
        release.manifest.model_copy(update={"models": models}).model_dump_json()
    )
    (folder / "evaluations/1").mkdir(parents=True)
    (folder / "evaluations/1/record.json").write_text("{}")
    return folder


def test_no_two_builds_get_one_number(home: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, [home] * 24))
    assert sorted(claimed) == list(range(1, 25))


def test_a_number_is_above_those_of_a_home_without_claims(home: str) -> None:
    files.write(files.inside(home, "releases", "4", "manifest.json"), b"{}")
    files.write(files.inside(home, "model_repository", "6", "ranker", "6", "model.onnx"), b"")
    assert [claim(home), claim(home)] == [7, 8]


def test_a_release_is_whole_where_it_arrives(home: str, built: Path, tmp_path: Path) -> None:
    upload(built, home, 1)
    upload(built, home, 1)
    assert numbers(home) == [1]
    fetched = download(home, 1, tmp_path / "fetched")
    assert fetched.digest == Release.open(built / "releases/1").digest
    assert _files(tmp_path / "fetched") == _files(built)
    assert download(home, 1, tmp_path / "fetched").digest == fetched.digest


def test_the_training_state_travels_only_where_training_goes_on(home: str, built: Path, tmp_path: Path) -> None:
    (built / "training/1/retriever").mkdir(parents=True)
    (built / "training/1/retriever/weights.safetensors").write_bytes(b"weights")
    upload(built, home, 1)
    download(home, 1, tmp_path / "serving")
    assert not (tmp_path / "serving/training").exists()
    with at_hand(home, 1) as (release, repository, kept):
        assert (kept / "retriever/weights.safetensors").read_bytes() == b"weights"
        release.verify(repository)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_another_release_of_the_number_is_not_replaced(home: str, built: Path, tmp_path: Path) -> None:
    upload(built, home, 1)
    add_release(tmp_path / "other", 1)
    before = files.versions(home)
    with pytest.raises(WinnowError, match=r"has another release 1: .* Claim a new number"):
        upload(tmp_path / "other", home, 1)
    assert files.versions(home) == before
    with pytest.raises(WinnowError, match="is another release 1 than that of"):
        download(home, 1, tmp_path / "other")
    with pytest.raises(WinnowError, match="has no release 2; its releases: 1"):
        download(home, 2, tmp_path / "fetched")


@pytest.mark.parametrize("path", ["releases/1/item_rows.npy", "model_repository/1/ranker/1/model.onnx"])
def test_what_was_damaged_is_not_published_nor_fetched(path: str, home: str, built: Path, tmp_path: Path) -> None:
    upload(built, home, 1)
    files.write(files.inside(home, path), b"other")
    with pytest.raises(ReleaseMismatch, match="is missing or has changed"):
        download(home, 1, tmp_path / "fetched")
    assert numbers(str(tmp_path / "fetched")) == []
    (built / path).write_bytes(b"other")
    with pytest.raises(ReleaseMismatch, match="is missing or has changed"):
        upload(built, f"{home}-2", 1)
    assert numbers(f"{home}-2") == []


def test_what_the_home_stored_otherwise_is_noticed(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = files.upload

    def damaging(path: Path, address: str) -> None:
        store(path, address)
        if address.endswith("model.onnx"):
            files.write(address, path.read_bytes()[:-1])

    monkeypatch.setattr(files, "upload", damaging)
    home = f"s3://{BUCKET}/{next(HOMES)}"
    with pytest.raises(ReleaseMismatch, match=r"model\.onnx differs from the file that was written"):
        upload(built, home, 1)
    assert numbers(home) == []


def test_a_killed_upload_leaves_no_release_and_the_next_one_a_whole_one(built: Path, tmp_path: Path) -> None:
    home = f"s3://{BUCKET}/{next(HOMES)}"
    last = sum(path.is_file() for path in built.rglob("*")) - 1
    for position in (1, last // 2, last):
        ended = subprocess.run([sys.executable, "-c", KILLED, built, home, str(position)], timeout=60)
        assert ended.returncode == -9
        assert numbers(home) == []
    upload(built, home, 1)
    download(home, 1, tmp_path / "fetched")
