"""The same vectors from ONNX Runtime and Triton, on local disk and on S3."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper, numpy_helper

from export.triton.config import config_text
from export.triton.shapes import read_shapes
from tests.support.matrix_encoders import ENCODED, INPUTS, same, stored, write_encoders
from winnow.embeddings import runtime
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.result import write_output
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import Contents
from winnow.errors import WinnowError
from winnow.signatures import SIGNATURES


def test_an_endless_encoder_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number, truth = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["x"], ["y"])],
        "body",
        [number("i", TensorProto.INT64, []), number("go", truth, []), number("x", TensorProto.FLOAT, ["B", 2])],
        [number("on", truth, []), number("y", TensorProto.FLOAT, ["B", 2])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "true", "given"], ["embedding"], body=body)],
        "forever",
        [number("given", TensorProto.FLOAT, ["B", 2])],
        [number("embedding", TensorProto.FLOAT, ["B", 2])],
        [numpy_helper.from_array(np.array(2**62), "times"), numpy_helper.from_array(np.array(True), "true")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    monkeypatch.setattr(runtime, "TIMEOUT_S", 0.2)
    forever = runtime.OnnxRuntime(tmp_path / "m.onnx")
    with pytest.raises(WinnowError, match=r"m\.onnx took more than 0\.2 s for 3 inputs"):
        forever(np.zeros((3, 2), np.float32))
    with pytest.raises(WinnowError, match=r"m\.onnx does not take int64 \(3, 2\)"):
        forever(np.zeros((3, 2), np.int64))


def test_a_store_and_media_on_s3_give_the_same_vectors(
    encoders: Path, catalog: Contents, store: EmbeddingStore, bucket: str, tmp_path: Path
) -> None:
    for path in (tmp_path / "media").iterdir():
        boto3.client("s3").upload_file(str(path), "winnow-embeddings", f"media/{path.name}")

    def there(places: list[str]) -> list[str]:
        return [place and f"{bucket}/media/{Path(place).name}" for place in places]

    away = replace(catalog, pictures=there(catalog.pictures), sounds=there(catalog.sounds))
    far = EmbeddingStore(f"{bucket}/store/")
    local = extract_embeddings(encoders, catalog, store, show_progress=False)
    remote = extract_embeddings(encoders, away, far, show_progress=False)
    assert remote.encoded == ENCODED
    same(local, remote)
    again = extract_embeddings(encoders, away, far, show_progress=False)
    assert set(again.encoded.values()) == {0}
    same(local, again)
    write_output(remote, away, f"{bucket}/out/items.parquet")
    boto3.client("s3").download_file("winnow-embeddings", "out/items.parquet", str(tmp_path / "items.parquet"))
    assert pq.read_table(tmp_path / "items.parquet")["has_text"].to_pylist() == [True] * 8 + [False, True]
    with pytest.raises(WinnowError, match=r"s3://no-such-bucket/store/.* cannot be reached"):
        extract_embeddings(encoders, catalog, EmbeddingStore("s3://no-such-bucket/store"), show_progress=False)


def test_a_triton_gives_the_same_vectors_and_must_serve_the_same_encoder(
    encoders: Path, catalog: Contents, store: EmbeddingStore, tmp_path: Path, triton: Callable[[Path], str]
) -> None:
    repository = tmp_path / "repository"
    for source in sorted((encoders / "onnx").iterdir()):
        (repository / source.name / "1").mkdir(parents=True)
        shutil.copy(source / "model.onnx", repository / source.name / "1")
        signature = next(signature for signature in SIGNATURES if signature.name == source.name)
        config = config_text(signature, read_shapes(source / "model.onnx"))
        (repository / source.name / "config.pbtxt").write_text(config)
    address = triton(repository)
    here = extract_embeddings(encoders, catalog, store, show_progress=False)
    far = EmbeddingStore(str(tmp_path / "far"))
    there = extract_embeddings(encoders, catalog, far, show_progress=False, triton=address, batch=100)
    assert there.encoded == ENCODED
    for modality, vectors in here.vectors.items():
        np.testing.assert_allclose(there.vectors[modality], vectors, atol=1e-6)
    with grpcclient.InferenceServerClient(address) as client:
        statistics = client.get_inference_statistics("text_encoder", "1", as_json=True)["model_stats"][0]
    assert int(statistics["inference_count"]) == ENCODED["text"] + 4  # and the ones tried first

    other = write_encoders(tmp_path / "other", INPUTS, seed=1)
    with pytest.raises(WinnowError, match="serves another audio encoder"):
        extract_embeddings(other, catalog, far, show_progress=False, triton=address)
    assert sum(stored(far).values()) == sum(stored(store).values())
