"""Files on S3, against an HTTP server that speaks AWS's API, behave as files of a local folder."""

from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from winnow import files
from winnow.errors import WinnowError

BUCKET = "s3://winnow-files"


@pytest.fixture(scope="module", autouse=True)
def bucket(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="winnow-files")


def test_what_is_written_is_read_listed_and_measured() -> None:
    for name, content in (("b.txt", b"new"), ("b.txt", b"newer"), ("a.txt", b""), ("below/c.txt", b"1")):
        files.write(files.inside(f"{BUCKET}/folder/", name), content)
    assert files.read(f"{BUCKET}/folder/b.txt") == b"newer"
    assert files.size(f"{BUCKET}/folder/b.txt") == 5
    direct = [f"{BUCKET}/folder/a.txt", f"{BUCKET}/folder/b.txt"]
    assert files.listed(f"{BUCKET}/folder", ".txt") == direct
    assert files.listed(f"{BUCKET}/folder/", "b.txt") == direct[1:]
    assert files.listed(f"{BUCKET}/fold", ".txt") == []
    assert files.walk(f"{BUCKET}/folder") == [*direct, f"{BUCKET}/folder/below/c.txt"]


def test_an_object_is_copied_to_a_local_file(tmp_path: Path) -> None:
    files.write(f"{BUCKET}/one.bin", b"content")
    files.download(f"{BUCKET}/one.bin", tmp_path / "one.bin")
    assert (tmp_path / "one.bin").read_bytes() == b"content"


def test_local_files_are_copied_and_objects_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"content")
    for name in ("one.bin", "below/one.bin", "below-2/one.bin"):
        files.upload(tmp_path / "one.bin", f"{BUCKET}/up/{name}")
    assert files.read(f"{BUCKET}/up/below/one.bin") == b"content"
    files.delete(f"{BUCKET}/up/one.bin")
    files.delete(f"{BUCKET}/up/one.bin")
    files.delete_folder(f"{BUCKET}/up/below")
    files.delete_folder(f"{BUCKET}/up/below")
    assert files.walk(f"{BUCKET}/up") == [f"{BUCKET}/up/below-2/one.bin"]


@pytest.mark.parametrize(
    "operation", [files.read, files.size, lambda address: files.download(address, Path("/nowhere/none.bin"))]
)
def test_a_missing_object_has_its_own_error(operation: Callable[[str], object]) -> None:
    with pytest.raises(files.FileMissing, match=r"winnow-files/none\.bin: No such object$"):
        operation(f"{BUCKET}/none.bin")


@pytest.mark.parametrize(
    "operation",
    [
        files.read,
        files.walk,
        files.delete,
        files.delete_folder,
        lambda a: files.listed(a, ""),
        lambda a: files.write(a, b""),
        lambda a: files.upload(Path(__file__), a),
    ],
)
def test_a_missing_bucket_is_named_with_the_remedy(operation: Callable[[str], object]) -> None:
    with pytest.raises(WinnowError, match=r"no-such-bucket/x cannot be reached: .*NoSuchBucket.*Check the name"):
        operation("s3://no-such-bucket/x")


def test_a_copy_that_cannot_be_written_names_the_local_file(tmp_path: Path) -> None:
    files.write(f"{BUCKET}/one.bin", b"content")
    with pytest.raises(WinnowError, match=r"/none/one\.bin.*Make room, or correct the path") as caught:
        files.download(f"{BUCKET}/one.bin", tmp_path / "none" / "one.bin")
    assert not isinstance(caught.value, files.FileMissing)
