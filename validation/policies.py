"""Everybody's policies, by checkov, where it is installed; what is not followed is waived aloud in ``waivers.yaml``."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from validation.objects import MANIFESTS, TOOLS, Finding, Objects, ToolMissing

ROOT = MANIFESTS.parent
WAIVERS = Path(__file__).with_name("waivers.yaml")


def check(overlays: Iterable[tuple[str, Objects]], terraform: Path = ROOT / "eks") -> Iterator[Finding]:
    """What offends against a policy that is not waived, and each waiver that is of no use.

    Args:
        overlays: rendered, with their names.
        terraform: the folder of the Terraform.

    Raises:
        ToolMissing: checkov is not here.
    """
    scanner = checkov()
    waivers: dict[str, str] = yaml.safe_load(WAIVERS.read_text())
    used = set()
    with tempfile.TemporaryDirectory(prefix="winnow-policies-") as name:
        for overlay, objects in overlays:
            (Path(name) / f"{overlay}.yaml").write_text(yaml.safe_dump_all(objects.all))
        scanned = (("terraform", terraform), ("kubernetes", Path(name)), ("dockerfile", ROOT / "images"))
        for framework, folder in scanned:
            for failed in _failed(scanner, framework, folder):
                policy = failed["check_id"]
                used.add(policy)
                if policy not in waivers:
                    where, message = failed["file_path"].lstrip("/"), f"{policy}: {failed['check_name']}"
                    yield Finding(failed["resource"], where, message)
    for policy in waivers.keys() - used:
        yield Finding(WAIVERS.name, policy, "waives what nothing offends: take it out")


def checkov() -> str:
    """Where it is.

    Raises:
        ToolMissing: it is not here.
    """
    local = TOOLS / "checkov" / "bin" / "checkov"
    found = str(local) if local.exists() else shutil.which("checkov")
    if found is None:
        raise ToolMissing("checkov is neither in .tools nor on the PATH (`make tools`), so no policy is tried")
    return found


def _failed(scanner: str, framework: str, folder: Path) -> list[dict[str, Any]]:
    command = [scanner, "--directory", str(folder), "--framework", framework, "--skip-download"]
    told = [*command, "--output", "json", "--quiet", "--compact"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=300)  # noqa: S603
    if done.returncode not in (0, 1):
        raise RuntimeError(f"checkov: {done.stderr.strip()[-500:]}")
    failed: list[dict[str, Any]] = json.loads(done.stdout).get("results", {}).get("failed_checks", [])
    return failed
