"""``winnow build --training FILE``: settings reach the trained model, the release and ``--resume``; mistakes do not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.small_shop import small_shop
from winnow.release import Release
from winnow.settings.file import parse
from winnow.settings.training import TrainingSettings

WINNOW = Path(sys.executable).with_name("winnow")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return small_shop(tmp_path / "shop")


def build(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WINNOW, "build", *arguments],
        env=os.environ | {"WINNOW_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
def test_a_setting_of_the_file_is_in_the_trained_model_and_in_the_release(
    home: Path, shop: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "training.yaml"
    settings.write_text(
        "retriever: {dimension: 12, heads: 3, history_length: 6, max_epochs: 4}\n"
        "covisitation: {neighbours: 3}\n"
        "candidates: {trending: 7}\n"
        "ranker: {epochs: 2, batch: 4, fewest: 2}\n"
        "compute: {device: cpu, precision: bf16}\n"
    )
    traces = tmp_path / "traces"
    built = build(home, f"--data={shop}", f"--training={settings}", f"--profile={traces}")
    assert built.returncode == 0, built.stderr
    release = Release.open(home / "releases" / "1")
    release.verify()
    manifest = release.manifest
    assert release.array("item_vectors").shape == (9, 12)
    assert release.array("neighbours").shape == (9, 3)
    assert manifest.history_length == 6
    assert manifest.candidates == {"retriever": 4, "covisitation": 200, "trending": 7}

    chosen = parse(TrainingSettings, settings.read_text(), "file")
    used = chosen.model_copy(update={"candidates": chosen.candidates.within(8)})
    assert manifest.training == used.model_dump()
    assert parse(TrainingSettings, manifest.source.training, "manifest") == chosen, "the build can be repeated"
    assert Path(manifest.source.data) == shop

    [trained] = (home / "pipelines").glob("*/train")
    tables = trained / "retriever" / "sources"
    assert "ProfilerStep#4" in (traces / "ranker.trace.json").read_text()
    for name in ("neighbours", "neighbour_weights", "popular"):
        np.testing.assert_array_equal(np.load(tables / f"{name}.npy"), release.array(name))


def test_settings_are_compared_before_a_build_is_resumed(home: Path, shop: Path, tmp_path: Path) -> None:
    settings = tmp_path / "training.yaml"
    # The first step refuses the data, so the build stays unfinished.
    (shop / "items.csv").write_text("item_id\ni0\ni0\n")
    settings.write_text("ranker: {epochs: 1}")
    assert build(home, f"--data={shop}", f"--training={settings}").returncode == 2
    settings.write_text("ranker: {epochs: 2}")
    refused = build(home, f"--data={shop}", f"--training={settings}", "--resume")
    assert refused.returncode == 1
    assert """it had training '{"ranker":{"epochs":1}}', not '{"ranker":{"epochs":2}}'""" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ranker: {epoch: 1}", "ranker.epoch: unknown; ranker takes width, "),
        ("ranker: {epochs: two}", 'ranker.epochs: must be an integer, got "two"'),
        ("ranker: {epochs: 0}", "ranker.epochs: must be greater than or equal to 1, got 0"),
        ("ranker: [", "is not YAML: "),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=["unknown field", "wrong type", "out of range", "not YAML", "no file"],
)
def test_a_wrong_file_ends_the_command_with_one_sentence(
    text: str | None, message: str, home: Path, shop: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "training.yaml"
    if text is not None:
        settings.write_text(text)
    refused = build(home, f"--data={shop}", f"--training={settings}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"winnow: {settings}: {message}")
    assert refused.stderr.count("\n") == 1
    assert not home.exists(), "nothing has started"
