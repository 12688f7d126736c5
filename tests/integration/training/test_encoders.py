"""The encoders learn from a small generated catalog; broken pictures are left out."""

from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from winnow import files
from winnow.encoders.catalog import read_contents
from winnow.encoders.inputs import MODALITIES, Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import EncoderSettings, TinySettings
from winnow.encoders.tokens import END, PAD, START
from winnow.errors import WinnowError
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.build import load_encoders, train_encoders
from winnow.training.encoders.kept import MOST
from winnow.training.encoders.views import drop_tokens, shift_and_flip

SMALL = TinySettings(steps=40, batch_size=32, vocabulary=400, context_length=16, learning_rate=2e-3)
SETTINGS = EncoderSettings(tiny=SMALL)
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (40, 50, 210)}
SHAPES = ("circle", "square")
KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]


def draw(path: Path, colour: str, shape: str, random: np.random.Generator) -> None:
    picture = Image.new("RGB", (80, 72), tuple(int(shade) for shade in random.integers(200, 256, 3)))
    left, top, size = (int(value) for value in (*random.integers(4, 24, 2), random.integers(30, 44)))
    pen = ImageDraw.Draw(picture)
    box = (left, top, left + size, top + size)
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
    picture.save(path)


def strike(path: Path, kind: int, random: np.random.Generator) -> None:
    seconds = np.arange(6_400) / 8_000
    tone = np.sin(2 * np.pi * 220 * 2 ** (kind / 3) * seconds) * np.exp(-6 * seconds)
    soundfile.write(path, 0.7 * tone + random.normal(0, 0.01, len(tone)), 8_000)


def write_catalog(folder: Path, count: int, pictures: bool = True) -> NDArray[np.int64]:
    """Draw ``count`` items; returns their kinds."""
    random = np.random.default_rng(1)
    kinds = np.arange(count) % len(KINDS)
    folder.mkdir(parents=True, exist_ok=True)
    images: list[str | None] = []
    for row, kind in enumerate(kinds):
        draw(folder / f"{row}.png", *KINDS[kind], random)
        strike(folder / f"{row}.wav", int(kind), random)
        images.append(str(folder / f"{row}.png") if pictures else None)
    titles = [" ".join(KINDS[kind]) for kind in kinds]
    table = {
        "item_id": [str(row) for row in range(count)],
        "title": titles,
        "category": [title.split()[1] for title in titles],
        "description": [f"A {title}, number {row}" for row, title in enumerate(titles)],
        "image": pa.array(images, pa.string()),
        "audio": pa.array([str(folder / f"{row}.wav") if pictures else None for row in range(count)], pa.string()),
    }
    pq.write_table(pa.table(table), folder / "items.parquet")
    return kinds


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, NDArray[np.int64], list[float]]:
    """A catalog of 60 items (picture 7 and sound 9 are truncated, picture 8 is missing); encoders; kinds; losses."""
    dataset, out = tmp_path_factory.mktemp("dataset"), tmp_path_factory.mktemp("encoders")
    kinds = write_catalog(dataset, 60)
    (dataset / "7.png").write_bytes((dataset / "7.png").read_bytes()[:60])
    (dataset / "8.png").unlink()
    (dataset / "9.wav").write_bytes((dataset / "9.wav").read_bytes()[:900])
    return dataset, out, kinds, train_encoders(dataset, out, SETTINGS, ComputeSettings(), show_progress=False)


def embedded(dataset: Path, out: Path, modality: Modality) -> NDArray[np.float32]:
    """Embeddings of the catalog's items by the encoder in ``out``; zeros where an item's content is unreadable."""
    content = read_contents(dataset).of(modality)
    prepared, problems = Preparation.load(out).prepare_items(modality, content)
    vectors = np.zeros((len(content), 64), np.float32)
    with torch.inference_mode():
        vectors[[problem is None for problem in problems]] = load_encoders(out)[modality].module(
            torch.from_numpy(prepared)
        )
    return vectors


def same_kind_share(vectors: NDArray[np.float32], kinds: NDArray[np.int64], top: int = 5) -> float:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :top]
    return float((kinds[nearest] == kinds[:, None]).mean())


def test_loss_falls(trained: tuple[Path, Path, NDArray[np.int64], list[float]]) -> None:
    losses = trained[3]
    assert len(losses) == SMALL.steps
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_pictures_texts_and_sounds_of_a_category_are_near(
    trained: tuple[Path, Path, NDArray[np.int64], list[float]],
) -> None:
    dataset, out, kinds, _ = trained
    for modality in MODALITIES:
        vectors = embedded(dataset, out, modality)
        present = np.linalg.norm(vectors, axis=1) > 0
        absent = {"audio": [9], "image": [7, 8], "text": []}[modality]
        np.testing.assert_array_equal(np.flatnonzero(~present), absent)
        assert same_kind_share(vectors[present], kinds[present]) > 2.5 / len(KINDS), modality


def test_texts_find_their_pictures_and_sounds(trained: tuple[Path, Path, NDArray[np.int64], list[float]]) -> None:
    dataset, out, kinds, _ = trained
    tokens, _ = Preparation.load(out).prepare_items("text", [" ".join(kind) for kind in KINDS])
    with torch.inference_mode():
        words = load_encoders(out)["text"].module(torch.from_numpy(tokens)).numpy()
    for modality in ("audio", "image"):
        nearest = (embedded(dataset, out, modality) @ words.T).argmax(axis=1)
        assert (nearest == kinds).mean() > 2 / len(KINDS), modality


def test_training_is_reproducible_and_leaves_the_global_generator_unchanged(tmp_path: Path) -> None:
    write_catalog(tmp_path / "dataset", 12)
    settings = EncoderSettings(tiny=SMALL.model_copy(update={"steps": 2}))
    before = torch.get_rng_state()
    runs = [
        train_encoders(tmp_path / "dataset", tmp_path / str(run), settings, ComputeSettings(), show_progress=False)
        for run in range(2)
    ]
    assert runs[0] == runs[1]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("root", ["folder", "s3"])
def test_the_same_content_is_not_trained_on_again(root: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keep_in = str(tmp_path / "kept")
    if root == "s3":
        request.getfixturevalue("aws")
        boto3.client("s3").create_bucket(Bucket="winnow-kept")
        keep_in = "s3://winnow-kept/embeddings"
    write_catalog(tmp_path / "dataset", 12)
    small = SMALL.model_copy(update={"steps": 2})
    number = iter(range(100))

    def train(**changed: Any) -> tuple[list[float], Path]:
        out = tmp_path / str(next(number))
        settings = EncoderSettings(tiny=small.model_copy(update=changed))
        return train_encoders(tmp_path / "dataset", out, settings, ComputeSettings(), False, keep_in), out

    (losses, one), (none, other) = train(), train()
    assert (len(losses), none) == (2, [])
    assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
    for modality in MODALITIES:
        first, second = (embedded(tmp_path / "dataset", out, modality) for out in (one, other))
        np.testing.assert_array_equal(first, second)

    # Other settings, another picture and weights that cannot be read are trained anew.
    assert len(train(learning_rate=1e-3)[0]) == 2
    draw(tmp_path / "dataset" / "0.png", "blue", "square", np.random.default_rng(9))
    assert len(train()[0]) == 2
    for address in files.walk(keep_in):
        files.write(address, b"no weights")
    assert len(train()[0]) == 2
    # The latest are kept.
    for seed in range(1, MOST + 2):
        train(seed=seed)
    assert len(files.walk(keep_in)) == MOST
    assert train(seed=MOST)[0] == []


def test_a_catalog_without_pictures_trains_on_texts(tmp_path: Path) -> None:
    kinds = write_catalog(tmp_path / "dataset", 24, pictures=False)
    settings = EncoderSettings(tiny=SMALL.model_copy(update={"steps": 15}))
    train_encoders(tmp_path / "dataset", tmp_path / "out", settings, ComputeSettings(), show_progress=False)
    assert list(load_encoders(tmp_path / "out")) == ["text"]
    assert Preparation.load(tmp_path / "out").inputs.widths == {"text": 64}
    assert same_kind_share(embedded(tmp_path / "dataset", tmp_path / "out", "text"), kinds, top=2) > 2 / len(KINDS)


def test_a_catalog_without_texts_has_no_encoders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nothing = pa.array([None, None], pa.string())
    columns = dict.fromkeys(("title", "category", "description", "image", "audio"), nothing)
    pq.write_table(pa.table({"item_id": ["a", "b"], **columns}), tmp_path / "items.parquet")
    assert train_encoders(tmp_path, tmp_path / "out", SETTINGS, ComputeSettings(), show_progress=False) == []
    assert load_encoders(tmp_path / "out") == {}
    assert "no titles, categories or descriptions" in caplog.text


def test_a_modality_without_a_choice_has_no_encoder(tmp_path: Path) -> None:
    write_catalog(tmp_path / "dataset", 12)
    settings = EncoderSettings(text=None, image=None, tiny=SMALL.model_copy(update={"steps": 2}))
    train_encoders(tmp_path / "dataset", tmp_path / "out", settings, ComputeSettings(), show_progress=False)
    assert list(load_encoders(tmp_path / "out")) == ["audio"]
    assert Preparation.load(tmp_path / "out").inputs.widths == {"audio": 64}


def test_a_class_of_one_word_never_loses_it() -> None:
    tokens = np.array([[START, 10, END, PAD], [START, 10, 11, END]])
    for seed in range(30):
        views = drop_tokens(tokens, 0.7, np.random.default_rng(seed))
        assert list(views[0]) == [START, 10, END, PAD]
        assert {10, 11} & set(views[1])


def test_absent_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="no encoders at"):
        load_encoders(tmp_path / "nowhere")


def test_views_keep_the_ends_of_a_text_and_the_content_of_a_picture() -> None:
    random = np.random.default_rng(0)
    tokens = np.array([[START, 10, 11, 12, 13, 14, END, PAD, PAD]])
    for _ in range(50):
        view = drop_tokens(tokens, 0.5, random)[0]
        words = view[(view != PAD)]
        assert words[0] == START
        assert words[-1] == END
        assert np.all(np.diff(words[1:-1]) > 0)
        assert np.all(view[len(words) :] == PAD)
    pixels = random.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    views = shift_and_flip(pixels, random)
    assert views.shape == pixels.shape
    assert not np.array_equal(views, pixels)
