"""Is any content encoded unnecessarily? A catalog is embedded again: unchanged, changed, and after a SIGKILL.

Each encoder is one random matrix: which contents are encoded counts, not their vectors.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.common.rows import Row, row
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize, generate
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.result import Extraction
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import Contents, read_contents
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, TextInput
from winnow.encoders.tokens import train_tokenizer
from winnow.errors import WinnowError

SIZE = MarketplaceSize(items=600, users=20, events=200)
CHANGED = SIZE.items // 100
WIDTH = 64
INPUTS = EncoderInputs(
    audio=AudioInput(dimension=WIDTH, rate=8000, samples=8000),
    image=ImageInput(dimension=WIDTH, size=64),
    text=TextInput(dimension=WIDTH, context_length=48),
)
_SMALL_BATCH = 2
"""Small, so that a killed run has stored many shards before it is halfway."""

_PATIENCE_S = 60.0
_RUN = f"""
import sys
from pathlib import Path
from winnow.encoders.catalog import read_contents
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.store import EmbeddingStore

encoders, dataset, store = sys.argv[1:]
contents = read_contents(Path(dataset))
extract_embeddings(Path(encoders), contents, EmbeddingStore(store), show_progress=False, batch={_SMALL_BATCH})
"""


def measure(show_progress: bool) -> list[Row]:
    """Contents that are encoded although their vectors are stored.

    Args:
        show_progress: draw progress bars.

    Raises:
        WinnowError: the run to kill ended by itself.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-extraction-") as scratch:
        folder = Path(scratch)
        generate(folder / "shop", SIZE)
        ingest(str(folder / "shop"), folder / "dataset")
        contents = read_contents(folder / "dataset")
        encoders = _write_encoders(folder / "encoders", contents)
        killed = _after_a_kill(encoders, folder / "dataset", folder / "killed")
        store = EmbeddingStore(str(folder / "store"))
        begun = time.perf_counter()
        first = _encoded(extract_embeddings(encoders, contents, store, show_progress))
        between = time.perf_counter()
        unchanged = _encoded(extract_embeddings(encoders, contents, store, show_progress))
        ended = time.perf_counter()
        contents, changes = _change(contents)
        changed = extract_embeddings(encoders, contents, store, show_progress)
        difference = sum(abs(changed.encoded[name] - count) for name, count in changes.items())
        return [
            row("new catalog, contents encoded", first, "contents"),
            row("unchanged catalog, contents encoded", unchanged, "contents", "<= 0"),
            row("1 % changed, encoded less changed contents", difference, "contents", "<= 0"),
            *killed,
            row("first run", between - begun, "s"),
            row("second run", ended - between, "s"),
        ]


def _after_a_kill(encoders: Path, dataset: Path, folder: Path) -> list[Row]:
    """Kill a run when half of the contents are stored, run again, and count contents encoded twice."""
    contents, store = read_contents(dataset), EmbeddingStore(str(folder))
    half = sum(len({entry for entry in contents.of(name) if entry}) for name in INPUTS.widths) // 2
    command: list[str | Path] = [sys.executable, "-c", _RUN, encoders, dataset, folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline and len(_stored(folder)) < half:
        time.sleep(0.005)
    process.kill()
    _, told = process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise WinnowError(f"the run to be killed halfway ended by itself: {told or process.returncode}")
    kept = len(_stored(folder))
    again = _encoded(extract_embeddings(encoders, contents, store, show_progress=False))
    stored = _stored(folder)
    twice = sum(stored.values()) - len(stored) + abs(again - (len(stored) - kept))
    return [
        row("killed halfway, share that was kept", kept / len(stored), "share"),
        row("killed halfway, contents encoded twice", twice, "contents", "<= 0"),
    ]


def _stored(folder: Path) -> Counter[str]:
    """Number of times each digest is in a store."""
    paths = sorted(folder.rglob("*.parquet"))
    return Counter(entry for path in paths for entry in pq.read_table(path, columns=["digest"])["digest"].to_pylist())


def _encoded(extraction: Extraction) -> int:
    return sum(extraction.encoded.values())


def _change(contents: Contents) -> tuple[Contents, dict[str, int]]:
    """Change the content of some items; returns the catalog, and the changed contents of each modality."""
    items = np.random.default_rng(0).permutation(len(contents.item_ids))[:CHANGED].tolist()
    captions = list(contents.captions)
    sounds = 0
    for item in items:
        captions[item] += " Now with a longer description."
        with Image.open(contents.pictures[item]) as picture:
            picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(contents.pictures[item])
        if contents.sounds[item]:
            path = Path(contents.sounds[item])
            path.write_bytes(path.read_bytes() + bytes(2))
            sounds += 1
    return replace(contents, captions=captions), {"audio": sounds, "image": len(items), "text": len(items)}


def _write_encoders(folder: Path, contents: Contents) -> Path:
    folder.mkdir()
    (folder / "encoders.json").write_text(INPUTS.model_dump_json())
    train_tokenizer(contents.captions, 500, 48).save(str(folder / "tokenizer.json"))
    _write_onnx(folder, "audio", "samples", TensorProto.FLOAT, [8000])
    _write_onnx(folder, "image", "pixels", TensorProto.UINT8, [64, 64, 3])
    _write_onnx(folder, "text", "tokens", TensorProto.INT64, [48])
    return folder


def _write_onnx(folder: Path, modality: str, tensor: str, kind: int, shape: list[int]) -> None:
    weights = np.random.default_rng(0).standard_normal((int(np.prod(shape)), WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [tensor], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["numbers"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["product"]),
            helper.make_node("LpNormalization", ["product"], ["embedding"], axis=-1, p=2),
        ],
        modality,
        [helper.make_tensor_value_info(tensor, kind, ["B", *shape])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", WIDTH])],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = folder / "onnx" / f"{modality}_encoder" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
