"""Embedding a catalog: nothing twice, nothing lost, wherever the store is and whatever runs the encoders."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import soundfile
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.triton.config import config_text
from export.triton.shapes import read_shapes
from winnow.embeddings import result, runtime
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.result import Extraction, write_output
from winnow.embeddings.store import EmbeddingStore, Shard
from winnow.encoders import media
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, Modality, TextInput
from winnow.encoders.preparation import Preparation
from winnow.encoders.tokens import train_tokenizer
from winnow.errors import WinnowError
from winnow.signatures import SIGNATURES

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
"""Distinct contents of ``catalog`` that have a vector."""


def weights(modality: Modality, seed: int = 0) -> np.ndarray:
    shape = (int(np.prod(TENSORS[modality][2])), WIDTH)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write_encoders(folder: Path, inputs: EncoderInputs = INPUTS, seed: int = 0) -> Path:
    """Encoders that multiply by a random matrix, and make the length 1."""
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
    """How often each digest is in a local store."""
    found = sorted(Path(store.root).rglob("*.parquet"))
    return Counter(digest for path in found for digest in pq.read_table(path)["digest"].to_pylist())


@pytest.fixture
def catalog(tmp_path: Path) -> Contents:
    """Ten items. 8 has no content; 9 has what 0 has.

    Picture 1 is cut off, 2 is missing, 7 is that of 6. Sound 3 is none, and from 5 on there are no sounds.
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


def same(left: Extraction, right: Extraction) -> None:
    assert (left.digests, left.vectors.keys()) == (right.digests, right.vectors.keys())
    for modality, vectors in left.vectors.items():
        np.testing.assert_array_equal(vectors, right.vectors[modality])
        assert [bool(problem) for problem in left.problems[modality]] == list(map(bool, right.problems[modality]))


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
    # The broken ones were not tried again either: their problems would be a new shard.
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


def test_another_encoder_or_tokenizer_starts_anew(
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
# Whoever starts the tests in the background of a shell has interrupts ignored in all that follow.
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
def test_a_run_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, store: EmbeddingStore, sent: signal.Signals
) -> None:
    folder = write_encoders(tmp_path / "encoders", IMAGES)
    contents = pictured(tmp_path / "media", 160)
    command = [sys.executable, "-c", DIES.replace("SIGNAL", sent.name), folder, store.root, tmp_path / "media", "160"]
    died = subprocess.run(command, capture_output=True, check=False)
    assert died.returncode == -sent, died.stderr
    # Two shards of 16 batches of 2 are there; the third was written, but not in place.
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


def test_what_cannot_be_read_is_recorded_and_told(encoders: Path, catalog: Contents, store: EmbeddingStore) -> None:
    made = extract_embeddings(encoders, catalog, store, show_progress=False)
    audio, image, text = result.told(made, catalog)
    items = len(catalog.item_ids)
    assert audio.startswith(f"audio: 6 of {items} items have one; 1 cannot be used: ")
    assert image.startswith(f"image: 9 of {items} items have one; 2 cannot be used: {catalog.pictures[1]}: not a")
    assert image.endswith(f"; {catalog.pictures[2]}: No such file or directory")
    assert "cannot" not in text
    problems = made.problems["image"]
    assert [item for item, problem in enumerate(problems) if problem] == [1, 2]
    assert problems[1].startswith(f"{catalog.pictures[1]}: not a readable picture")
    assert problems[2] == f"{catalog.pictures[2]}: No such file or directory"
    # The cut picture's bytes are known to be bad; the missing one is looked for again.
    draw(Path(catalog.pictures[2]), 2)
    assert extract_embeddings(encoders, catalog, store, show_progress=False).encoded["image"] == 1
    draw(Path(catalog.pictures[1]), 1)
    repaired = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert repaired.encoded == {"audio": 0, "image": 1, "text": 0}
    assert set(repaired.problems["image"]) == {None}


def test_the_outcome_says_which_modalities_an_item_has(
    encoders: Path, catalog: Contents, store: EmbeddingStore, tmp_path: Path
) -> None:
    shutil.rmtree(encoders)
    write_encoders(encoders, EncoderInputs(audio=INPUTS.audio, image=INPUTS.image))
    (encoders / "embeddings").mkdir()
    np.save(encoders / "embeddings" / "text.npy", np.zeros((10, 2)))
    made = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert sorted(path.name for path in (encoders / "embeddings").iterdir()) == ["audio.npy", "image.npy"]
    items = pq.read_table(encoders / "items.parquet").to_pydict()
    assert items["item_id"] == catalog.item_ids
    assert [item for item in range(10) if items["has_image"][item]] == [0, 3, 4, 5, 6, 7, 9]
    assert [item for item in range(10) if items["has_audio"][item]] == [0, 1, 2, 4, 9]
    assert not any(items["has_text"])
    assert items["text_problem"] == [None if item == 8 else "there is no text encoder" for item in range(10)]
    assert items["image_digest"][6] == items["image_digest"][7] is not None
    assert items["image_problem"][1] == made.problems["image"][1]
    out = tmp_path / "out" / "items.parquet"
    write_output(made, catalog, str(out))
    written = pq.read_table(out)
    assert written.drop(["audio_vector", "image_vector"]).to_pydict() == items
    vectors = written["image_vector"].to_pylist()
    assert [item for item, vector in enumerate(vectors) if vector is None] == [1, 2, 8]
    np.testing.assert_array_equal(np.array(vectors[9], np.float32), made.vectors["image"][9])
    with pytest.raises(WinnowError, match=r"must be a file that ends in \.parquet"):
        write_output(made, catalog, str(tmp_path))


def test_content_that_changes_meanwhile_is_left_to_the_next_run(tmp_path: Path) -> None:
    class Slow(EmbeddingStore):
        def read(self, modality: Modality, encoder: str, dimension: int) -> Iterator[Shard]:
            draw(Path(contents.pictures[3]), 99)
            Path(contents.pictures[4]).unlink(missing_ok=True)
            return super().read(modality, encoder, dimension)

    folder = write_encoders(tmp_path / "encoders", IMAGES)
    contents = pictured(tmp_path / "media", 6)
    store = Slow(str(tmp_path / "store"))
    made = extract_embeddings(folder, contents, store, show_progress=False)
    assert made.problems["image"][3] == f"{contents.pictures[3]}: it changed while the catalog was being read"
    assert made.problems["image"][4] == f"{contents.pictures[4]}: No such file or directory"
    assert made.encoded == {"image": 4}
    assert sum(stored(store).values()) == 4
    again = extract_embeddings(folder, contents, store, show_progress=False)
    assert again.encoded == {"image": 1}
    assert again.problems["image"][3] is None


def test_a_vector_without_direction_is_a_problem(tmp_path: Path, store: EmbeddingStore) -> None:
    folder = write_encoders(tmp_path / "encoders", EncoderInputs(audio=INPUTS.audio))
    silence, tone = tmp_path / "silence.wav", tmp_path / "tone.wav"
    soundfile.write(silence, np.zeros(SAMPLES), RATE)
    contents = Contents(["a", "b"], ["", ""], ["", ""], [str(silence), record(tone, 0)])
    for expected in (1, 0):
        made = extract_embeddings(folder, contents, store, show_progress=False)
        assert made.encoded == {"audio": expected}
        assert "no direction" in str(made.problems["audio"][0])
        assert made.problems["audio"][1] is None
    assert not made.vectors["audio"][0].any()


def test_an_encoder_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    forever = runtime.OnnxRuntime(tmp_path / "m.onnx", threads=1)
    with pytest.raises(WinnowError, match=r"m\.onnx took more than 0\.2 s for 3 inputs"):
        forever(np.zeros((3, 2), np.float32))
    with pytest.raises(WinnowError, match=r"m\.onnx does not take int64 \(3, 2\)"):
        forever(np.zeros((3, 2), np.int64))


def test_a_store_and_media_on_s3_give_the_same(
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
    assert int(statistics["inference_count"]) == ENCODED["text"] + 4  # and those that were tried first

    other = write_encoders(tmp_path / "other", INPUTS, seed=1)
    with pytest.raises(WinnowError, match="serves another audio encoder"):
        extract_embeddings(other, catalog, far, show_progress=False, triton=address)
    assert sum(stored(far).values()) == sum(stored(store).values())


def test_what_is_wrong_with_the_encoders_is_named(
    encoders: Path, catalog: Contents, store: EmbeddingStore, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match=r"Triton at 127\.0\.0\.1:1 \(host:port of its gRPC\) does not run audio_enc"):
        extract_embeddings(encoders, catalog, store, show_progress=False, triton="127.0.0.1:1")
    wide = INPUTS.model_copy(update={"image": ImageInput(dimension=WIDTH + 1, size=SIZE)})
    (encoders / "encoders.json").write_text(wide.model_dump_json())
    with pytest.raises(WinnowError, match=r"image\.dimension in encoders\.json is 6"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    (encoders / "encoders.json").write_text(INPUTS.model_dump_json())
    (encoders / "onnx" / "audio_encoder" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(WinnowError, match=r"model\.onnx cannot be loaded; export the encoders again"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    os.remove(encoders / "onnx" / "text_encoder" / "model.onnx")
    with pytest.raises(WinnowError, match=r"text_encoder/model\.onnx is missing: export the encoders"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    assert not (encoders / "items.parquet").exists()
