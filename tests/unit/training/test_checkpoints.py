"""Checkpoints of a training in a folder: what is saved is read, and what is damaged or unfinished is not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.support.paths import ROOT
from tests.support.until import until
from winnow import files
from winnow.errors import WinnowError
from winnow.training.loop import checkpoint_files
from winnow.training.loop import checkpoints as checkpoints_module
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.ranks import Ranks

Make = Callable[..., Checkpoints]


@pytest.fixture
def checkpoints_of(tmp_path: Path) -> Iterator[Make]:
    made = []

    def make(run: str = "run", every_minutes: float = 0, keep: int = 2, ranks: Ranks | None = None) -> Checkpoints:
        made.append(Checkpoints(str(tmp_path), run, every_minutes, keep, ranks or Ranks()))
        return made[-1]

    yield make
    for checkpoints in made:
        checkpoints.close()


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        checkpoints.save({"step": step}, {"weights": torch.full((3,), float(step))})


def newest_step(checkpoints: Checkpoints) -> object:
    found, weights = checkpoints.newest(), torch.zeros(3)
    if found is None:
        return None
    found.load({"weights": weights})
    assert weights.tolist() == [found.position["step"]] * 3
    return found.position["step"]


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("run-*/*"))


def test_position_and_tensors_of_every_kind_are_restored_in_place(
    checkpoints_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "_FILE_BYTES", 64)  # several files
    layer = nn.Linear(4, 3)
    tied = layer.weight
    state: dict[str, Tensor] = {
        "weight": tied,
        "tied": tied,
        "not contiguous": torch.arange(6).view(2, 3).T,
        "decay": torch.tensor(-0.5, dtype=torch.float64),
        "bf16": torch.randn(5).bfloat16(),
        "larger than a file": torch.arange(40.0).view(10, 4),
        "no rows": torch.zeros(0, 4),
        "seen": torch.tensor([True, False]),
        "random": torch.get_rng_state(),
    }
    position = {"epoch": 3, "best": float("-inf"), "random": np.random.default_rng(0).bit_generator.state}
    expected = {name: tensor.detach().clone() for name, tensor in state.items()}
    saving = checkpoints_of()
    saving.save(position, state)
    saving.close()
    into = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
    into["weight"] = nn.Linear(4, 3).weight
    found = checkpoints_of().newest()
    assert found is not None
    assert found.position == position
    found.load(into)
    for name, tensor in expected.items():
        assert into[name].equal(tensor), name
    held = [load_file(path) for path in Path(found.address).glob("*.safetensors")]
    assert max(sum(piece.nbytes for piece in pieces.values()) for pieces in held) == 64


def test_nothing_that_is_written_is_a_pickle(checkpoints_of: Make, tmp_path: Path) -> None:
    saving = checkpoints_of()
    save(saving, 1)
    saving.close()
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"model-00001-of-00001.safetensors", "model.safetensors.index.json", "manifest.json"}


def test_later_changes_are_not_saved(checkpoints_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    write, goes_on = checkpoint_files.write, []

    def delayed(*arguments: object) -> None:
        until(lambda: goes_on)
        write(*arguments)

    monkeypatch.setattr(checkpoint_files, "write", delayed)
    saving, weights, position = checkpoints_of(), torch.full((3,), 7.0), {"step": 7, "past": [1]}
    saving.save(position, {"weights": weights})
    assert not saving.due()  # one at a time
    weights.fill_(8)
    position["past"].append(2)
    goes_on.append(True)
    saving.close()
    found, into = checkpoints_of().newest(), torch.zeros(3)
    assert found is not None
    found.load({"weights": into})
    assert (found.position, into.tolist()) == ({"step": 7, "past": [1]}, [7.0] * 3)


def test_a_checkpoint_is_due_when_the_time_has_passed_since_the_last(
    checkpoints_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(checkpoints_module.time, "monotonic", lambda: now[0])
    checkpoints, other_rank = checkpoints_of(every_minutes=2), checkpoints_of(every_minutes=2, ranks=Ranks(1, 2))
    now[0] += 119
    assert not checkpoints.due()
    now[0] += 1
    assert checkpoints.due()
    assert not other_rank.due()
    save(checkpoints, 1)
    checkpoints.close()
    now[0] += 119
    assert not checkpoints.due()
    now[0] += 1
    assert checkpoints.due()


def test_the_newest_are_kept_and_what_a_killed_writer_left_is_deleted(
    checkpoints_of: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = checkpoints_of()
    save(first, 1, 2)
    first.close()
    [run] = tmp_path.iterdir()
    (run / "000003").mkdir()
    (run / "000003" / "model-00001-of-00001.safetensors").write_bytes(b"the first bytes")
    (run / "notes").mkdir()
    (run / "notes" / "manifest.json").write_bytes(b"not of a checkpoint")
    again = checkpoints_of()
    assert newest_step(again) == 2
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    save(again, 3)
    again.close()
    assert stored(tmp_path) == ["000002", "000004", "notes"]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("model-00001-of-00001.safetensors", lambda content: content[:-1] + b"?", "has another SHA-256"),
        ("model-00001-of-00001.safetensors", lambda content: content[:-1], "bytes instead of"),
        ("model.safetensors.index.json", None, "No such file"),
        ("manifest.json", lambda content: content[:-1], "is no manifest of a checkpoint"),
        ("manifest.json", lambda content: content.replace(b"model-", b"../model-"), "is no manifest of a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(
    name: str,
    damage: Callable[[bytes], bytes] | None,
    message: str,
    checkpoints_of: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = checkpoints_of()
    save(first, 1, 2)
    first.close()
    [file] = tmp_path.glob(f"*/000002/{name}")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    again = checkpoints_of()
    assert newest_step(again) == 1
    assert message in caplog.text
    assert f"000002/{name}" in caplog.text
    save(again, 3)
    again.close()
    assert stored(tmp_path) == ["000001", "000003"]  # the damaged one takes no other's place


def test_checkpoints_of_another_run_are_left_alone(
    checkpoints_of: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert checkpoints_of().newest() is None
    assert not caplog.records
    first, other = checkpoints_of("batch 32"), checkpoints_of("batch 64", keep=1)
    save(first, 1)
    first.close()
    assert newest_step(other) is None
    assert "has checkpoints of other data, settings or versions only" in caplog.text
    save(other, 5, 6)
    assert newest_step(checkpoints_of("batch 32")) == 1
    other.discard()
    assert stored(tmp_path) == ["000001"]
    assert newest_step(checkpoints_of("batch 32")) == 1


def test_tensors_of_another_form_are_refused(checkpoints_of: Make) -> None:
    saving = checkpoints_of()
    save(saving, 1)
    saving.close()
    for into, difference in (
        ({"weights": torch.zeros(4)}, r"weights: float32 \[3\] instead of float32 \[4\]"),
        ({"weights": torch.zeros(3).double()}, r"weights: float32 \[3\] instead of float64 \[3\]"),
        ({"weights": torch.zeros(3), "bias": torch.zeros(1)}, r"bias: none instead of float32 \[1\]"),
        ({}, r"weights: float32 \[3\] instead of none"),
    ):
        found = checkpoints_of().newest()
        assert found is not None
        with pytest.raises(WinnowError, match=rf"000001: .*1 differ; e\.g\. {difference}.*Delete it"):
            found.load(into)


def test_an_error_of_the_thread_is_raised_by_the_next_call(checkpoints_of: Make, tmp_path: Path) -> None:
    checkpoints = checkpoints_of()
    save(checkpoints, 1)
    until(checkpoints.due)
    [run] = tmp_path.iterdir()
    (run / "000002").write_bytes(b"a file where a folder should be")
    save(checkpoints, 2)
    with pytest.raises(WinnowError, match=r"000002: File exists\. Make room, or correct the path"):
        save(checkpoints, 3)
    (run / "000002").unlink()
    save(checkpoints, 4)
    checkpoints.close()
    assert newest_step(checkpoints_of()) == 4


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(
        WinnowError, match=r"^gs://bucket/x: checkpoints are kept in a folder or at s3://bucket/prefix$"
    ):
        Checkpoints("gs://bucket/x", "run", 1, 1, Ranks())


_ENDLESS = """
import sys, torch
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.ranks import Ranks
checkpoints = Checkpoints(sys.argv[1], "endless", 0, 2, Ranks())
found, weights = checkpoints.newest(), torch.zeros(2_000_000)
step = 0
if found is not None:
    found.load({"weights": weights})
    step = int(found.position["step"])
while True:
    step += 1
    checkpoints.save({"step": step}, {"weights": weights.fill_(step)})  # waits for the one before
    print(step - 1, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_at_most_the_checkpoint_that_it_was_writing(tmp_path: Path) -> None:
    last = 0
    for delay in (0.0, 0.013, 0.031):
        command = [sys.executable, "-c", _ENDLESS, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            assert first >= last
            for _ in range(3):
                last = int(writer.stdout.readline())
            time.sleep(delay)
            os.kill(writer.pid, signal.SIGKILL)
            last = int((writer.stdout.read().split() or [last])[-1])
        found, weights = Checkpoints(str(tmp_path), "endless", 0, 2, Ranks()).newest(), torch.zeros(2_000_000)
        assert found is not None
        found.load({"weights": weights})
        step = found.position["step"]
        assert step in (last, last + 1)
        assert weights.eq(step).all()
    assert len(stored(tmp_path)) <= 4


def test_the_manifest_is_the_last_file_and_names_all_others(checkpoints_of: Make, tmp_path: Path) -> None:
    saving = checkpoints_of()
    save(saving, 1)
    saving.close()
    manifest = files.listed(str(next(tmp_path.glob("*/000001"))), "manifest.json")[0]
    content = json.loads(files.read(manifest))
    assert sorted(content["files"]) == ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]
    assert content["tensors"] == {"weights": "float32 [3]"}
    newest = max(Path(manifest).parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "manifest.json"
