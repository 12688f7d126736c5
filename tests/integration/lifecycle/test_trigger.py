"""The trigger starts runs: a build on this machine, and on S3 what it reads of a home there."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np
import pytest

from tests.support.lifecycle.homes import add_release
from tests.support.small_shop import small_shop
from winnow import files
from winnow.lifecycle.live import promote
from winnow.lifecycle.trigger.baseline import Baseline
from winnow.lifecycle.trigger.pause import Start, Starts
from winnow.release import BuildInputs, Release

WINNOW = Path(sys.executable).with_name("winnow")


@pytest.mark.slow
def test_a_due_build_repeats_that_of_the_live_release(tmp_path: Path) -> None:
    source = BuildInputs(data=str(small_shop(tmp_path / "shop")), training='{"retriever":{"dimension":16}}')
    home = tmp_path / "home"
    manifest = add_release(home, 1).folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"source": source.model_dump()}))
    promote(str(home), 1)
    rules = tmp_path / "rules.yaml"
    rules.write_text("staleness: {build_hours: 0.000001}")

    def trigger() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"WINNOW_HOME": str(home), "OMP_NUM_THREADS": "1"}
        environment.pop("REDIS_URL", None)
        command = [WINNOW, "trigger", f"--rules={rules}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    built = trigger()
    assert built.returncode == 0, built.stderr
    assert "due: staleness: build" in built.stdout
    assert "built release 2: `winnow promote 2` makes it live" in built.stdout
    assert Release.open(home / "releases" / "2").manifest.source == source
    again = trigger()
    assert (again.returncode, "(pause_hours)" in again.stdout) == (0, True)
    assert not (home / "releases" / "3").exists()
    # A build that fails is an error, and is not tried again before the pause is over.
    (home / "trigger.json").unlink()
    (tmp_path / "shop" / "events.csv").unlink()
    failed = trigger()
    assert failed.returncode == 2
    assert "events" in failed.stderr
    assert "(pause_hours)" in trigger().stdout


def test_a_home_on_s3(aws: None, tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket="homes")
    release = add_release(tmp_path, 1)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            files.upload(path, files.inside("s3://homes/shop", str(path.relative_to(tmp_path))))
    promote("s3://homes/shop", 1)
    baseline = Baseline.of("s3://homes/shop")
    assert baseline.manifest == release.manifest
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = baseline.categories([b"item-1", b"item-1", b"absent"], scratch)
    code = int(np.asarray(release.array("item_rows")["categorical"])[1, 0])
    assert found == (1, {release.vocabularies["category"][code]: 1.0})
    assert "item_vectors.npy" not in {path.name for path in scratch.iterdir()}
    start = Start(at=datetime.now(UTC), fired=("x",))
    first, second = Starts("s3://homes/shop"), Starts("s3://homes/shop")
    assert (first.record(start), second.record(start)) == (True, False)
    assert Starts("s3://homes/shop").last == start
    first.forget()
    assert Starts("s3://homes/shop").last is None
