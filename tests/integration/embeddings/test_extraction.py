"""A catalog is embedded incrementally: every content once, also after a run was stopped."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.matrix_encoders import (
    CONTEXT,
    ENCODED,
    IMAGES,
    WIDTH,
    draw,
    pictured,
    same,
    stored,
    weights,
    write_encoders,
)
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.store import EmbeddingStore, Shard
from winnow.encoders import media
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.tokens import train_tokenizer


def test_every_item_gets_the_vector_of_its_own_content(
    encoders: Path, catalog: Contents, store: EmbeddingStore
) -> None:
    made = extract_embeddings(encoders, catalog, store, show_progress=False, batch=2)
    assert made.encoded == ENCODED
    preparation = Preparation.load(encoders)
    for modality, vectors in made.vectors.items():
        assert vectors.dtype == np.float32
        for item, entry in enumerate(catalog.of(modality)):
            expected = np.zeros(WIDTH)
            if entry and made.problems[modality][item] is None:
                content = entry if modality == "text" else media.read(entry)
                product = preparation.prepare(modality, content).reshape(-1).astype(np.float32) @ weights(modality)
                expected = product / np.linalg.norm(product)
            np.testing.assert_allclose(vectors[item], expected, atol=1e-5)
        np.testing.assert_array_equal(vectors, np.load(encoders / "embeddings" / f"{modality}.npy"))


def test_nothing_is_encoded_twice(encoders: Path, catalog: Contents, store: EmbeddingStore) -> None:
    first = extract_embeddings(encoders, catalog, store, show_progress=False)
    shards = sorted(Path(store.root).rglob("*"))
    second = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert set(second.encoded.values()) == {0}
    # Broken content is not tried again either: its problems would be a new shard.
    assert sorted(Path(store.root).rglob("*")) == shards
    assert set(stored(store).values()) == {1}
    same(first, second)


def test_only_what_changed_is_encoded_again(tmp_path: Path, store: EmbeddingStore) -> None:
    folder = write_encoders(tmp_path / "encoders", IMAGES)
    contents = pictured(tmp_path / "media", 200)
    before = extract_embeddings(folder, contents, store, show_progress=False).vectors["image"]
    for item in (17, 130):
        draw(Path(contents.pictures[item]), 1000 + item)
    made = extract_embeddings(folder, contents, store, show_progress=False)
    assert made.encoded == {"image": 2}
    changed = np.flatnonzero((made.vectors["image"] != before).any(axis=1))
    assert changed.tolist() == [17, 130]
    moved = replace(contents, pictures=contents.pictures[::-1])
    made = extract_embeddings(folder, moved, store, show_progress=False)
    assert made.encoded == {"image": 0}


def test_another_encoder_or_tokenizer_encodes_all_again(
    tmp_path: Path, encoders: Path, catalog: Contents, store: EmbeddingStore
) -> None:
    extract_embeddings(encoders, catalog, store, show_progress=False)
    train_tokenizer(["quite another text"], 300, CONTEXT).save(str(encoders / "tokenizer.json"))
    again = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert again.encoded == {"audio": 0, "image": 0, "text": ENCODED["text"]}
    other = write_encoders(tmp_path / "other", seed=1)
    assert extract_embeddings(other, catalog, store, show_progress=False).encoded == ENCODED


DIES = """
import os, signal, sys
from pathlib import Path
# Background jobs of a shell ignore interrupts, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from winnow.encoders.catalog import Contents
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.store import EmbeddingStore, Shard

rename, shards = Path.replace, []

def replace(self, target):
    shards.append(target)
    if len(shards) == 3:
        os.kill(os.getpid(), signal.SIGNAL)
    return rename(self, target)

Path.replace = replace
folder, store, media, items = sys.argv[1:]
items = int(items)
pictures = [f"{media}/{item}.png" for item in range(items)]
contents = Contents([str(item) for item in range(items)], [""] * items, pictures, [""] * items)
extract_embeddings(Path(folder), contents, EmbeddingStore(store), show_progress=False, batch=2)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_resumes(tmp_path: Path, store: EmbeddingStore, sent: signal.Signals) -> None:
    folder = write_encoders(tmp_path / "encoders", IMAGES)
    contents = pictured(tmp_path / "media", 160)
    command = [sys.executable, "-c", DIES.replace("SIGNAL", sent.name), folder, store.root, tmp_path / "media", "160"]
    died = subprocess.run(command, capture_output=True, check=False)
    assert died.returncode == -sent, died.stderr
    # Two shards of 16 batches of 2 are complete; the third was written, but not renamed.
    assert sum(stored(store).values()) == 64
    leftovers = list(Path(store.root).rglob("*.partial"))
    assert len(leftovers) == (1 if sent == signal.SIGKILL else 0)
    made = extract_embeddings(folder, contents, store, show_progress=False)
    assert made.encoded == {"image": 96}
    assert len(stored(store)) == 160
    assert set(stored(store).values()) == {1}
    fresh = EmbeddingStore(str(tmp_path / "fresh"))
    whole = extract_embeddings(folder, contents, fresh, show_progress=False).vectors["image"]
    np.testing.assert_allclose(made.vectors["image"], whole, atol=1e-6)


def test_content_that_changes_during_a_run_is_left_to_the_next(tmp_path: Path) -> None:
    class Slow(EmbeddingStore):
        def read(self, modality: Modality, encoder: str, dimension: int) -> Iterator[Shard]:
            draw(Path(contents.pictures[3]), 99)
            Path(contents.pictures[4]).unlink(missing_ok=True)
            return super().read(modality, encoder, dimension)

    folder = write_encoders(tmp_path / "encoders", IMAGES)
    contents = pictured(tmp_path / "media", 6)
    store = Slow(str(tmp_path / "store"))
    made = extract_embeddings(folder, contents, store, show_progress=False)
    assert made.problems["image"][3] == f"{contents.pictures[3]}: it changed while the catalog was read"
    assert made.problems["image"][4] == f"{contents.pictures[4]}: No such file or directory"
    assert made.encoded == {"image": 4}
    assert sum(stored(store).values()) == 4
    again = extract_embeddings(folder, contents, store, show_progress=False)
    assert again.encoded == {"image": 1}
    assert again.problems["image"][3] is None
