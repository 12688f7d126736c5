"""A stack with access control: its own requests, and those of the commands, have a key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale.subjects.untrained_release import CatalogSize, write
from winnow.ports import Ports
from winnow.protocols import KEY


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_a_stack_with_access_control(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(home, CatalogSize(items=50, users=30, events=300))
    left_out = ("REDIS_URL", "TRITON_URL", KEY)
    outside = {name: value for name, value in os.environ.items() if name not in left_out}
    base = next(port for port in range(23_000, 30_000, 10) if free(port))

    def run(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("winnow")
        environment = {**outside, "WINNOW_HOME": str(home), KEY: key}
        return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=600)

    made = run("access", "new", "shop", "--scopes=recommend,catalog", "--rate=1000/s")
    key, entry = made.stdout.split("\n\n", 1)[0], made.stdout.rpartition(":\n\n")[2]
    file = tmp_path / "access.yaml"
    file.write_text(f"keys:\n{entry}")
    up = ["up", "--detach", f"--access={file}", "--predictor=embedded", f"--port-base={base}"]
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
        tries = 20
        while run("recommend", "u00001").returncode and tries:
            tries -= 1
        assert tries
        assert "refused with 401" in run("items", "add", str(items), key=key).stderr
    finally:
        run("down")
    logs = "".join(path.read_text() for path in (home / "run" / "logs").rglob("*.log"))
    assert key not in logs


def free(base: int) -> bool:
    """Whether a stack's ports are free."""
    ports = Ports.at(base)
    try:
        ports.check_free(list(vars(ports)))
    except Exception:
        return False
    return True
