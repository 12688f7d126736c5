"""The pin of a home on S3, against a server of S3's API."""

import boto3
import pytest

from tests.support.lifecycle.homes import add_release
from winnow import files
from winnow.errors import ReleaseMismatch
from winnow.lifecycle import conditional_writes
from winnow.lifecycle.live import live, promote, rollback

HOME = "s3://homes/shop"


@pytest.fixture(scope="module", autouse=True)
def releases(aws: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Releases 1 to 3 in the home."""
    boto3.client("s3").create_bucket(Bucket="homes")
    folder = tmp_path_factory.mktemp("home")
    for number in (1, 2, 3):
        add_release(folder, number)
    for path in folder.rglob("*"):
        if path.is_file():
            files.upload(path, files.inside(HOME, str(path.relative_to(folder))))


def test_the_pin_moves_and_goes_back() -> None:
    assert live(HOME) is None
    promote(HOME, 1)
    assert promote(HOME, 2) == live(HOME)
    assert rollback(HOME).release == 1


def test_a_damaged_object_keeps_a_release_from_being_promoted() -> None:
    before = promote(HOME, 1)
    address = f"{HOME}/model_repository/3/ranker/3/model.onnx"
    content = files.read(address)
    files.write(address, content[:-1])
    with pytest.raises(ReleaseMismatch, match=rf"{address} is missing or has changed"):
        promote(HOME, 3)
    files.write(address, content)
    assert live(HOME) == before


def test_of_two_writers_that_read_the_same_pin_the_second_fails() -> None:
    address = f"{HOME}/exchanged"
    boto3.setup_default_session()
    overtakes: list[bytes] = []

    def overtake(**_: object) -> None:
        # Another writer's object arrives after this one has read, and before S3 has its request.
        if overtakes:
            boto3.Session().client("s3").put_object(Bucket="homes", Key="shop/exchanged", Body=overtakes.pop())

    boto3.DEFAULT_SESSION.events.register("before-call.s3.PutObject", overtake)
    for before, other, after in ((None, b"1", b"2"), (b"1", b"3", b"4")):
        overtakes.append(other)
        with pytest.raises(conditional_writes.FileChanged, match="was changed by another process"):
            conditional_writes.exchange(address, before, after)
        assert files.read(address) == other
    conditional_writes.exchange(address, b"3", b"5")
    assert files.read(address) == b"5"
    boto3.setup_default_session()
