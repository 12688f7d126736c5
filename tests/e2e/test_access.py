"""A stack with access control: its own requests, and those of the commands, have a key."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Winnow, free_base
from winnow.client import KEY


@pytest.mark.slow
def test_the_commands_of_a_stack_with_access_control(winnow: Winnow, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # A stack of its own, of the release that all tests share.
    for name in ("releases", "model_repository"):
        (home / name).symlink_to(winnow.home / name)
    command = Winnow(home)

    def run(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("winnow")
        environment = {**command.environment, KEY: key}
        return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=600)

    made = run("access", "new", "shop", "--scopes=recommend,catalog", "--rate=1000/s")
    key, entry = made.stdout.split("\n\n", 1)[0], made.stdout.rpartition(":\n\n")[2]
    file = tmp_path / "access.yaml"
    file.write_text(f"keys:\n{entry}")
    up = ["up", "--detach", f"--access={file}", "--predictor=embedded", f"--port-base={free_base()}"]
    refused = run(*up)
    assert refused.returncode == 1
    assert f"set {KEY} to a key with the scope recommend" in refused.stderr
    started = run(*up, key=key)
    assert started.returncode == 0, started.stderr
    try:
        assert '"items"' in run("recommend", "u00001", "--json", key=key).stdout
        without = run("recommend", "u00001", "--json")
        assert without.returncode == 1
        assert "refused with 401" in without.stderr
        assert KEY in without.stderr
        items = tmp_path / "new.csv"
        items.write_text("item_id,title\nn-1,A lamp\n")
        assert "refused with 401" in run("items", "add", str(items)).stderr
        added = run("items", "add", str(items), key=key)
        assert added.returncode == 0, added.stderr
        # A new file is in force at once, in the running stack.
        file.write_text("open: [recommend]\n")
        deadline = 50
        while run("recommend", "u00001").returncode and deadline:
            deadline -= 1
        assert deadline
        assert "refused with 401" in run("items", "add", str(items), key=key).stderr
    finally:
        run("down")
    logs = "".join(path.read_text() for path in (home / "run" / "logs").rglob("*.log"))
    assert key not in logs
