"""The demo marketplace: reproducible from its seed, with the documented signals."""

import hashlib
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.validate import validate
from winnow.datasets.marketplace import MarketplaceSize, generate, generated
from winnow.datasets.marketplace.catalog import END, START
from winnow.datasets.readers.tables import read_local
from winnow.errors import WinnowError

SIZE = MarketplaceSize(items=300, users=400, events=12_000)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(tmp_path_factory.mktemp("marketplaces"), SIZE)


@pytest.fixture(scope="module")
def demo(folder: Path) -> Dataset:
    return validate(read_local(folder))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    small = MarketplaceSize(items=30, users=20, events=200)
    generate(tmp_path / "one", small)
    generate(tmp_path / "two", small)
    generate(tmp_path / "other", MarketplaceSize(items=30, users=20, events=200, seed=8))
    one = digest(tmp_path / "one")
    assert one == digest(tmp_path / "two")
    other = digest(tmp_path / "other")
    assert one["events.parquet"] != other["events.parquet"]
    assert one["images/000000.png"] != other["images/000000.png"]


def test_a_marketplace_is_generated_once(folder: Path) -> None:
    before = (folder / "items.parquet").stat().st_mtime_ns
    assert generated(folder.parent, SIZE) == folder
    assert (folder / "items.parquet").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 4), (1, 4, 40), (60, 7, 90)])
def test_any_size_is_a_valid_data_set(tmp_path: Path, size: tuple[int, int, int]) -> None:
    generate(tmp_path / "demo", MarketplaceSize(*size))
    data = validate(read_local(tmp_path / "demo"))
    assert (data.items.num_rows, data.users.num_rows, data.events.num_rows) == size


def test_an_invalid_size_is_refused() -> None:
    with pytest.raises(WinnowError, match="events is 5 and must be at least 9"):
        MarketplaceSize(items=5, users=9, events=5)


def test_the_log_is_ordered_and_no_item_has_events_before_its_creation(demo: Dataset) -> None:
    moment = demo.events["timestamp"].to_numpy()
    assert np.all(np.diff(moment) >= 0)
    assert moment[0] >= START
    assert moment[-1] < END
    created = dict(zip(demo.items["item_id"].to_pylist(), demo.items["created_at"].to_pylist(), strict=True))
    assert all(created[row["item_id"]] <= row["timestamp"] for row in demo.events.to_pylist())


def test_popularity_is_skewed_and_a_few_items_are_unavailable(demo: Dataset) -> None:
    counts = np.sort(np.unique(demo.events["item_id"].to_numpy(), return_counts=True)[1])[::-1]
    assert counts[:30].sum() > 0.2 * counts.sum()  # a tenth of the items
    assert 0 < demo.items["available"].to_pylist().count(False) < 30


def test_every_other_event_follows_a_view_of_the_same_item_in_the_same_visit(demo: Dataset) -> None:
    last: dict[str, tuple[str, str, int]] = {}
    needs = {"cart": "view", "purchase": "cart", "dislike": "view"}
    for row in demo.events.to_pylist():
        if row["event"] in needs:
            item, event, moment = last[row["user_id"]]
            assert (item, event) == (row["item_id"], needs[row["event"]])
            assert row["timestamp"] - moment < 3_600_000
        last[row["user_id"]] = row["item_id"], row["event"], row["timestamp"]


def test_tastes_are_narrow_and_the_order_of_a_session_is_informative(demo: Dataset) -> None:
    category = dict(zip(demo.items["item_id"].to_pylist(), demo.items["category"].to_pylist(), strict=True))
    histories: dict[str, list[str]] = {}
    for row in demo.events.to_pylist():
        if row["event"] == "view":
            histories.setdefault(row["user_id"], []).append(category[row["item_id"]])
    transitions: dict[tuple[str, str], int] = {}
    for history in histories.values():
        for pair in pairwise(history):
            transitions[pair] = transitions.get(pair, 0) + 1
    # Accessories are viewed after their item more often than before it; co-occurrence alone cannot tell.
    assert transitions[("lamp", "chair")] > 1.5 * transitions[("chair", "lamp")]
    # By chance, twenty views would touch nearly ten of the twelve categories.
    own = np.mean([len(set(history)) / len(history) for history in histories.values() if len(history) >= 20])
    assert own < 0.35


def test_pictures_texts_and_sounds_identify_the_category(folder: Path, demo: Dataset) -> None:
    rows = demo.items.to_pylist()
    assert all(row["description"] for row in rows)
    assert len({row["description"] for row in rows}) > 0.9 * len(rows)
    heard = [row for row in rows if row["audio"]]
    assert 60 < len(heard) < 140

    shapes = np.stack([np.asarray(Image.open(row["image"]).convert("L").resize((24, 24))) < 225 for row in rows])
    assert _nearest_shares_category(shapes.reshape(len(rows), -1), [row["category"] for row in rows]) > 0.6

    spectra = []
    for row in heard:
        with wave.open(row["audio"]) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 1, 2)
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
        spectrum = np.abs(np.fft.rfft(samples))[50:1200]
        spectra.append(spectrum / np.linalg.norm(spectrum))
    assert _nearest_shares_category(np.stack(spectra), [row["category"] for row in heard]) > 0.4


def _nearest_shares_category(features: np.ndarray, categories: list[str]) -> float:
    """Share of items whose nearest neighbour has the same category; by chance, one in twelve."""
    vectors = features.astype(np.float64)
    squares = (vectors**2).sum(axis=1)
    distance = squares[:, None] + squares[None] - 2 * vectors @ vectors.T
    np.fill_diagonal(distance, np.inf)
    return float(np.mean([categories[i] == categories[j] for i, j in enumerate(distance.argmin(axis=1))]))
