"""A catalog, its encoders and a store of embeddings."""

from pathlib import Path

import boto3
import pytest

from tests.support.matrix_encoders import draw, record, write_encoders
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import Contents


@pytest.fixture
def catalog(tmp_path: Path) -> Contents:
    """Ten items. Item 8 has no content; item 9 has the content of item 0.

    Picture 1 is truncated, 2 is missing, 7 equals 6. Sound 3 is not a sound file; items from 5 on have no sound.
    """
    folder = tmp_path / "media"
    pictures = [draw(folder / f"{item}.png", min(item, 6)) for item in range(8)]
    Path(pictures[1]).write_bytes(Path(pictures[1]).read_bytes()[:60])
    Path(pictures[2]).unlink()
    sounds = [record(folder / f"{item}.wav", item) for item in range(5)]
    Path(sounds[3]).write_bytes(b"no sound at all")
    captions = [f"thing {item}" for item in range(8)]
    return Contents(
        [f"i{item}" for item in range(10)],
        [*captions, "", captions[0]],
        [*pictures, "", draw(folder / "copy of 0.png", 0)],
        [*sounds, "", "", "", "", sounds[0]],
    )


@pytest.fixture
def encoders(tmp_path: Path) -> Path:
    return write_encoders(tmp_path / "encoders")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def bucket(aws: None) -> str:
    """``s3://`` address of a bucket, behind a real HTTP server that speaks AWS's API."""
    boto3.client("s3").create_bucket(Bucket="winnow-embeddings")
    return "s3://winnow-embeddings"
