"""Encoders that multiply by a random matrix, and small catalogs for them to encode."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import soundfile
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from winnow.embeddings.result import Extraction
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, Modality, TextInput
from winnow.encoders.tokens import train_tokenizer

SIZE, CONTEXT, RATE, SAMPLES, WIDTH = 8, 6, 8000, 64, 5
INPUTS = EncoderInputs(
    audio=AudioInput(dimension=WIDTH, rate=RATE, samples=SAMPLES),
    image=ImageInput(dimension=WIDTH, size=SIZE),
    text=TextInput(dimension=WIDTH, context_length=CONTEXT),
)
IMAGES = EncoderInputs(image=INPUTS.image)
TENSORS: dict[Modality, tuple[str, int, list[int]]] = {
    "audio": ("samples", TensorProto.FLOAT, [SAMPLES]),
    "image": ("pixels", TensorProto.UINT8, [SIZE, SIZE, 3]),
    "text": ("tokens", TensorProto.INT64, [CONTEXT]),
}
ENCODED = {"audio": 4, "image": 5, "text": 8}
"""Number of distinct contents of ``catalog`` with a vector."""


def weights(modality: Modality, seed: int = 0) -> np.ndarray:
    shape = (int(np.prod(TENSORS[modality][2])), WIDTH)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write_encoders(folder: Path, inputs: EncoderInputs = INPUTS, seed: int = 0) -> Path:
    """Write encoders that multiply by a random matrix and normalise the result."""
    folder.mkdir(parents=True)
    (folder / "encoders.json").write_text(inputs.model_dump_json())
    train_tokenizer(["a red ball", "a blue book"], 300, CONTEXT).save(str(folder / "tokenizer.json"))
    for modality in inputs.widths:
        name, kind, shape = TENSORS[modality]
        graph = helper.make_graph(
            [
                helper.make_node("Cast", [name], ["numbers"], to=TensorProto.FLOAT),
                helper.make_node("Flatten", ["numbers"], ["flat"]),
                helper.make_node("MatMul", ["flat", "weights"], ["product"]),
                helper.make_node("LpNormalization", ["product"], ["embedding"], axis=-1, p=2),
            ],
            modality,
            [helper.make_tensor_value_info(name, kind, ["B", *shape])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", WIDTH])],
            [numpy_helper.from_array(weights(modality, seed), "weights")],
        )
        path = folder / "onnx" / f"{modality}_encoder" / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return folder


def draw(path: Path, seed: int) -> str:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    return str(path)


def record(path: Path, seed: int) -> str:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, SAMPLES), RATE)
    return str(path)


def pictured(folder: Path, items: int) -> Contents:
    pictures = [draw(folder / f"{item}.png", item) for item in range(items)]
    return Contents([f"i{item}" for item in range(items)], [""] * items, pictures, [""] * items)


def stored(store: EmbeddingStore) -> Counter[str]:
    """Number of times each digest is in a local store."""
    found = sorted(Path(store.root).rglob("*.parquet"))
    return Counter(digest for path in found for digest in pq.read_table(path)["digest"].to_pylist())


def same(left: Extraction, right: Extraction) -> None:
    assert (left.digests, left.vectors.keys()) == (right.digests, right.vectors.keys())
    for modality, vectors in left.vectors.items():
        np.testing.assert_array_equal(vectors, right.vectors[modality])
        assert [bool(problem) for problem in left.problems[modality]] == list(map(bool, right.problems[modality]))
