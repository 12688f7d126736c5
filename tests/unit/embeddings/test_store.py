"""The store of embeddings: shards that are written whole and read by their encoder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.embeddings.store import EmbeddingStore, Shard, digest, fingerprint
from winnow.encoders.inputs import ImageInput
from winnow.errors import WinnowError

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)
SHARD = Shard([digest(b"a"), digest(b"b"), digest(b"c")], VECTORS, [None, "it is broken", None])


def test_a_shard_is_read_by_its_encoder_only(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path / "store"))
    assert list(store.read("image", "one", 2)) == []
    store.write("image", "one", SHARD)
    (read,) = store.read("image", "one", 2)
    assert (read.digests, read.problems) == (SHARD.digests, SHARD.problems)
    np.testing.assert_array_equal(read.vectors, VECTORS * [[1], [0], [1]])
    assert list(store.read("image", "two", 2)) == list(store.read("text", "one", 2)) == []


def test_shards_with_and_without_problems_are_read(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path))
    store.write("image", "one", Shard(SHARD.digests[:1], VECTORS[:1], ["it is broken"]))
    store.write("image", "one", Shard(SHARD.digests[1:], VECTORS[1:], [None, None]))
    assert sorted(len(shard.digests) for shard in store.read("image", "one", 2)) == [1, 2]


def test_concurrent_and_killed_writers_leave_complete_shards(tmp_path: Path) -> None:
    for _ in range(2):
        EmbeddingStore(str(tmp_path)).write("image", "one", SHARD)
    (tmp_path / "image" / "one" / ".half.parquet-1.partial").write_bytes(b"PAR1")
    assert len(list(EmbeddingStore(str(tmp_path)).read("image", "one", 2))) == 2


def test_a_file_that_is_not_a_shard_is_named(tmp_path: Path) -> None:
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


def test_a_fingerprint_covers_graph_input_and_tokenizer(tmp_path: Path) -> None:
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
