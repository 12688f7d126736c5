"""``winnow build --from N`` as a process: a full build, then one that goes on from it when the log has grown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_shop import small_shop
from winnow.release import Release
from winnow.training.incremental.state import verify

WINNOW = Path(sys.executable).with_name("winnow")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with release 1 of a shop beside it, whose items have texts."""
    home = tmp_path_factory.mktemp("going-on") / "home"
    shop = small_shop(home.with_name("shop"))
    titles = [f"i{item},a lamp of kind {item}" for item in range(8)]
    (shop / "items.csv").write_text("\n".join(["item_id,title", *titles]))
    built = winnow(home, "build", f"--data={shop}")
    assert built.returncode == 0, built.stderr
    return home


def winnow(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"WINNOW_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run([WINNOW, *arguments], env=environment, capture_output=True, text=True, timeout=500)


def test_a_build_goes_on_from_a_release(home: Path) -> None:
    shop = home.with_name("shop")
    with (shop / "events.csv").open("a") as log:
        for user in range(25, 33):
            log.writelines(f"\nu{user},i{(user + step) % 9},view,{1_700_001_000_000 + step}" for step in range(3))
    with (shop / "items.csv").open("a") as items:
        items.write("\ni8,a lamp of kind 8")
    built = winnow(home, "build", "--from=1")
    assert (built.returncode, built.stdout) == (0, f"release 2: {home / 'releases' / '2'}\n"), built.stderr
    assert "learned 24 events of 8 users since release 1 (new items: 1, removed: 0)" in built.stderr
    assert "item vectors: mean cosine " in built.stderr

    before, after = (Release.open(home / "releases" / number) for number in ("1", "2"))
    manifest = after.manifest
    assert manifest.source == before.manifest.source.model_copy(update={"from_release": 1})
    assert (manifest.increment["from_release"], manifest.increment["chain"]) == (1, 1)
    assert before.manifest.increment == {}
    assert manifest.models["text_encoder"] == before.manifest.models["text_encoder"], "the encoders are those of N"
    assert after.items == before.items + 1
    assert len(after.array("map_points")) == after.items
    after.verify(home / "model_repository" / "2")
    verify(after, home / "training" / "2")


def test_what_release_1_knows_is_no_news(home: Path, tmp_path: Path) -> None:
    shop = small_shop(tmp_path / "old")
    refused = winnow(home, "build", "--from=1", f"--data={shop}")
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("winnow: there is nothing to learn: the data set has no event since release 1, which knows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--from=1", "--training=t.yaml"],
            "--training: a build --from 1 keeps the encoders and settings of release 1;",
        ),
        (["--from=1", "--encoders=e.yaml"], "--encoders: a build --from 1 keeps "),
        (["--from=1", "--holdout=last"], "release 1 has learned the events that --holdout last holds out, and has no "),
        (["--from=9"], "no release at "),
    ],
)
def test_a_wrong_request_is_refused_at_once(home: Path, arguments: list[str], message: str) -> None:
    refused = winnow(home, "build", *arguments)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith(f"winnow: {message}")
