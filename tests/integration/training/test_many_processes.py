"""``python -m winnow.training``, alone and by ``torchrun``: losses, killed processes, other numbers of them, S3."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import numpy as np
import psutil
import pytest
import torch

from tests.support.paths import ROOT
from tests.support.small_shop import small_shop
from tests.support.training.rank_losses import losses
from winnow import files
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.features.extract import extract_folder
from winnow.features.table import FeatureSet
from winnow.settings.training import RetrieverSettings
from winnow.training.loop.ranks import Ranks
from winnow.training.retriever.trained import TrainedRetriever

# Without dropout, whose random numbers differ from process to process, all numbers of processes train alike.
SETTINGS = RetrieverSettings(
    dimension=8,
    layers=1,
    history_length=6,
    batch=2,
    max_epochs=6,
    dropout=0.0,
    id_dropout=0.0,
    content_dropout=0.0,
    negatives=6,
)
CHECKPOINTS = ("--checkpoint-minutes", "0")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extracted")
    ingest(str(small_shop(folder / "shop")), folder / "dataset", "none", MarketplaceSize(), show_progress=False)
    extract_folder(folder / "dataset", folder / "encoders", folder / "features")
    return folder


def torchrun(processes: int, *arguments: str) -> "subprocess.Popen[str]":
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    run += ["--max-restarts", "3", "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    output = subprocess.PIPE
    return subprocess.Popen(
        [*run, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
    )


def ended(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-4000:]
    return output


def training(extracted: Path, out: Path, *more: str) -> list[str]:
    out.mkdir()
    (out / "training.yaml").write_text(f"retriever: {SETTINGS.model_dump_json()}\nranker: {{epochs: 1}}\n")
    options = [f"--features={extracted / 'features'}"]
    options += [f"--{name}={out / name}" for name in ("retriever", "ranker")]
    return ["winnow.training", *options, f"--settings={out / 'training.yaml'}", *more]


def past_a_checkpoint(extracted: Path, out: Path, checkpoints: Path) -> "subprocess.Popen[str]":
    """A training by two processes that has written its first checkpoint."""
    process = torchrun(2, *training(extracted, out, f"--checkpoints={checkpoints}", *CHECKPOINTS))
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*/*/manifest.json")):
        assert process.poll() is None, "ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.fixture(scope="module")
def alone(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRetriever:
    out = tmp_path_factory.mktemp("alone") / "out"
    command = [sys.executable, "-m", *training(extracted, out)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    written = json.loads((out / "retriever" / "result.json").read_text())
    assert json.loads(result.stdout) == written
    assert 0 < written["metrics"]["retriever_validation_ndcg@10"] <= 1
    return TrainedRetriever.load(out / "retriever")


@pytest.mark.parametrize("whole", [True, False], ids=["full softmax", "sampled"])
def test_two_processes_have_the_losses_of_one(extracted: Path, tmp_path: Path, whole: bool) -> None:
    settings = SETTINGS.model_copy(update={"full_softmax_items": 5000 if whole else 0})
    folder = str(extracted / "features")
    ended(torchrun(2, "tests.support.training.rank_losses", folder, settings.model_dump_json(), "100", str(tmp_path)))
    shares = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    expected = losses(FeatureSet.load(extracted / "features"), settings, 100, Ranks())
    np.testing.assert_allclose(np.sum(shares, axis=0), expected, atol=1e-4)
    assert min(shares[1]) >= 0
    assert max(shares[1]) > 0, "the second process has its share"
    assert expected[-1] < expected[0]


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_ends_with_the_same_model(
    extracted: Path, tmp_path: Path, alone: TrainedRetriever
) -> None:
    checkpoints = tmp_path / "checkpoints"
    process = past_a_checkpoint(extracted, tmp_path / "out", checkpoints)
    victim = psutil.Process(process.pid).children()[-1]
    victim.send_signal(signal.SIGKILL)
    output = ended(process)
    assert "exitcode: -9" in output
    trained = TrainedRetriever.load(tmp_path / "out" / "retriever")
    torch.testing.assert_close(trained.item_vectors, alone.item_vectors, atol=1e-3, rtol=0)
    assert not list(checkpoints.glob("*/*/manifest.json")), "a finished training leaves no checkpoints"


def test_a_stopped_training_continues_in_another_number_of_processes(
    extracted: Path, tmp_path: Path, alone: TrainedRetriever
) -> None:
    checkpoints = tmp_path / "checkpoints"
    process = past_a_checkpoint(extracted, tmp_path / "two", checkpoints)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert list(checkpoints.glob("*/*/manifest.json"))
    command = training(extracted, tmp_path / "one", f"--checkpoints={checkpoints}", *CHECKPOINTS)
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    trained = TrainedRetriever.load(tmp_path / "one" / "retriever")
    torch.testing.assert_close(trained.item_vectors, alone.item_vectors, atol=1e-3, rtol=0)


def test_inputs_and_outputs_may_be_on_s3(aws: None, extracted: Path, tmp_path: Path, alone: TrainedRetriever) -> None:
    bucket = "s3://winnow-training"
    boto3.client("s3").create_bucket(Bucket="winnow-training")
    for path in (extracted / "features").rglob("*"):
        if path.is_file():
            files.upload(path, files.inside(bucket, path.relative_to(extracted).as_posix()))
    settings = f"retriever: {SETTINGS.model_dump_json()}\nranker: {{epochs: 1}}\n"
    files.write(f"{bucket}/training.yaml", settings.encode())
    options = [f"--{name}={bucket}/{name}" for name in ("features", "retriever", "ranker", "checkpoints")]
    command = [sys.executable, "-m", "winnow.training", *options, f"--settings={bucket}/training.yaml", *CHECKPOINTS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for name in ("retriever", "ranker"):
        for address in files.walk(f"{bucket}/{name}"):
            path = tmp_path / address.removeprefix(f"{bucket}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            files.download(address, path)
    assert (tmp_path / "ranker").is_dir()
    trained = TrainedRetriever.load(tmp_path / "retriever")
    torch.testing.assert_close(trained.item_vectors, alone.item_vectors, atol=1e-5, rtol=0)

    missing = [option.replace("/features", "/nothing") for option in command]
    result = subprocess.run(missing, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0
    assert "s3://winnow-training/nothing has no objects" in result.stderr
    assert "Traceback" not in result.stderr
