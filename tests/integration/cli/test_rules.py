"""``winnow rules`` on a real Redis."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.tiny_release import write_release
from winnow.release import Release
from winnow.store.business import rules
from winnow.store.connection import connect

Run = Callable[..., tuple[int, str, str]]

OF_RELEASE = '{"filters": {"cheap": "price < 3"}, "always": ["cheap"]}'
LIVE = "boosts:\n- {where: 'category = \"books\"', factor: 2, name: книги}\ncaps: {tags: 2}\n"


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return write_release(tmp_path, 6150, rules=OF_RELEASE)


@pytest.fixture
def command(release: Release, redis_url: str, tmp_path: Path) -> Run:
    def run(action: str, *arguments: str) -> tuple[int, str, str]:
        folder = [] if action == "reset" else [f"--release-dir={release.folder}"]
        done = subprocess.run(
            [Path(sys.executable).with_name("winnow"), "rules", action, *arguments, *folder],
            env=os.environ | {"REDIS_URL": redis_url, "WINNOW_HOME": str(tmp_path), "USER": "ann", "LOGNAME": "ann"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    with connect(redis_url) as client:
        client.flushall()
    return run


def test_rules_are_shown_set_and_reset_by_version(command: Run, tmp_path: Path) -> None:
    code, printed, _ = command("show")
    assert (code, printed.splitlines()[0]) == (0, "# the rules of release 6150; no live rules")
    assert yaml.safe_load(printed) == json.loads(OF_RELEASE)
    file = tmp_path / "rules.yaml"
    file.write_text(LIVE)
    assert command("set", str(file)) == (0, "version 1\n", "")
    _, printed, _ = command("show")
    assert printed.startswith("# version 1, set by ann at 20")
    assert yaml.safe_load(printed) == yaml.safe_load(LIVE)
    # What is shown can be set again.
    file.write_text(printed)
    code, _, errors = command("set", str(file))
    assert code == 1
    assert errors.startswith("winnow: the live rules are version 1, set by ann at ")
    assert errors.endswith(": look at them with `winnow rules show`, and give --version 1 to replace them\n")
    assert command("set", str(file), "--version=1")[1] == "version 2\n"
    # The second of two editors who saw the same version is told.
    code, _, errors = command("set", str(file), "--version=1")
    assert (code, "the live rules are version 2" in errors) == (1, True)
    assert command("reset")[0] == 1
    assert command("reset", "--version=2")[1] == "version 3\n"
    shown = json.loads(command("show", "--json")[1])
    assert {name: shown[name] for name in ("version", "live", "by", "rules")} == {
        "version": 3,
        "live": False,
        "by": "ann",
        "rules": json.loads(OF_RELEASE),
    }
    assert command("set", str(file))[1] == "version 4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("boosts: [{where: brand = 'A', factor: 2}]", "boosts[0].where: column 'brand' at character 1 is not a column"),
        ("filters: {a: price <}", "filters.a: "),
        ("always: [a]", "always[0]: 'a' is not one of the filters (there are none)"),
        ("caps: {price: 2}", "caps.price: has values of the kind number; columns of texts are "),
        ("fatigue: {after: 3}", "fatigue.weight: must be given; fatigue.half_life_hours: must be given"),
        ("boost: []", "boost: unknown; the file takes filters, always, boosts, pins, caps, fatigue"),
    ],
)
def test_a_wrong_file_changes_nothing(command: Run, redis_url: str, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(LIVE)
    assert command("set", str(file))[0] == 0
    file.write_text(text)
    code, _, errors = command("set", str(file), "--version=1")
    assert code == 2
    assert errors.startswith(f"winnow: {file}: {message}")
    with connect(redis_url) as client:
        assert rules.read(client).version == 1
