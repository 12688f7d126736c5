"""The store of embeddings, and what it is made of: files that appear whole, and work that stays bounded."""

import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow import files
from winnow.embeddings.prefetch import ahead
from winnow.embeddings.store import EmbeddingStore, Shard, digest, fingerprint
from winnow.encoders.inputs import ImageInput
from winnow.errors import WinnowError

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)
SHARD = Shard([digest(b"a"), digest(b"b"), digest(b"c")], VECTORS, [None, "it is broken", None])


def test_what_was_written_is_read_by_its_encoder_alone(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path / "store"))
    assert list(store.read("image", "one", 2)) == []
    store.write("image", "one", SHARD)
    (read,) = store.read("image", "one", 2)
    assert (read.digests, read.problems) == (SHARD.digests, SHARD.problems)
    np.testing.assert_array_equal(read.vectors, VECTORS * [[1], [0], [1]])
    assert list(store.read("image", "two", 2)) == list(store.read("text", "one", 2)) == []


def test_a_shard_of_problems_alone_and_one_without_any(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path))
    store.write("image", "one", Shard(SHARD.digests[:1], VECTORS[:1], ["it is broken"]))
    store.write("image", "one", Shard(SHARD.digests[1:], VECTORS[1:], [None, None]))
    assert sorted(len(shard.digests) for shard in store.read("image", "one", 2)) == [1, 2]


def test_two_writers_and_a_killed_one_do_not_disturb_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        EmbeddingStore(str(tmp_path)).write("image", "one", SHARD)
    (tmp_path / "image" / "one" / ".half.parquet-1.partial").write_bytes(b"PAR1")
    assert len(list(EmbeddingStore(str(tmp_path)).read("image", "one", 2))) == 2


def test_a_file_that_is_no_shard_is_named(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path))
    store.write("image", "one", SHARD)
    with pytest.raises(WinnowError, match=r"\.parquet is not a shard of embeddings; delete it: .* not 3 wide"):
        list(store.read("image", "one", 3))
    stray = tmp_path / "image" / "one" / "stray.parquet"
    pq.write_table(pa.table({"digest": ["a"], "vector": [[1.0, 2.0]]}), stray)
    with pytest.raises(WinnowError, match=r"stray\.parquet is not a shard of embeddings; delete it: its columns are"):
        list(store.read("image", "one", 2))
    stray.write_bytes(b"PAR1 and no more")
    with pytest.raises(WinnowError, match=r"stray\.parquet is not a shard"):
        list(store.read("image", "one", 2))


def test_a_fingerprint_is_of_graph_input_and_tokenizer(tmp_path: Path) -> None:
    model, tokenizer = tmp_path / "model.onnx", tmp_path / "tokenizer.json"
    model.write_bytes(b"graph")
    tokenizer.write_bytes(b"words")
    takes = ImageInput(dimension=2, size=8)
    known = {
        fingerprint(model, takes, None),
        fingerprint(model, takes, tokenizer),
        fingerprint(model, ImageInput(dimension=2, size=9), None),
    }
    model.write_bytes(b"another graph")
    assert len(known | {fingerprint(model, takes, None)}) == 4
    with pytest.raises(WinnowError, match=r"none\.onnx is missing: export the encoders"):
        fingerprint(tmp_path / "none.onnx", takes, None)


def test_a_file_is_replaced_at_once_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "new folder" / "file.txt")
    files.write(address, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WinnowError, match=r"file\.txt: No space left on device"):
        files.write(address, b"new")
    assert files.read(address) == b"old"
    assert files.listed(str(tmp_path / "new folder"), ".txt") == [address]
    assert len(list((tmp_path / "new folder").iterdir())) == 1


def test_work_goes_ahead_only_so_far_in_order_and_stops_early() -> None:
    taken: list[int] = []
    busy, most, lock = [0], [0], threading.Lock()

    def make(number: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.002 * (number % 3))
        with lock:
            busy[0] -= 1
        return number * number

    def entries():
        for number in range(50):
            taken.append(number)
            yield number

    results = ahead(make, entries(), threads=3, at_most=6)
    for number in range(20):
        assert next(results) == number * number
        assert len(taken) <= number + 1 + 7
    results.close()
    assert len(taken) < 30
    assert 1 < most[0] <= 3
    assert list(ahead(make, range(10), threads=3, at_most=1)) == [number * number for number in range(10)]
