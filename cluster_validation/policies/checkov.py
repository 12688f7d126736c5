"""checkov's policies for Terraform, objects and Dockerfiles; ``waivers.yaml`` lists exceptions with their reasons."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster_validation.manifests.objects import EKS, ROOT, TOOLS, Finding, Objects, ToolMissing

WAIVERS = Path(__file__).with_name("waivers.yaml")


def check(overlays: Iterable[tuple[str, Objects]], terraform: Path = EKS) -> Iterator[Finding]:
    """Every violation of a policy that is not waived, and every waiver without a violation.

    Args:
        overlays: names and objects of the rendered overlays.
        terraform: folder of the Terraform configuration.

    Raises:
        ToolMissing: checkov is not installed.
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
        yield Finding(WAIVERS.name, policy, "waives a policy that nothing violates: remove it")


def checkov() -> list[str]:
    """Command that runs checkov.

    Raises:
        ToolMissing: checkov is not installed.
    """
    # Not the script `checkov`, whose first line names the folder in which it was installed: .tools may be copied.
    local = TOOLS / "checkov" / "bin" / "python"
    if local.exists():
        return [str(local), "-m", "checkov.main"]
    found = shutil.which("checkov")
    if found is None:
        raise ToolMissing("checkov is neither in .tools nor on the PATH: `make tools` installs it")
    return [found]


def _failed(scanner: list[str], framework: str, folder: Path) -> list[dict[str, Any]]:
    command = [*scanner, "--directory", str(folder), "--framework", framework, "--skip-download"]
    command += ["--output", "json", "--quiet", "--compact"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)  # noqa: S603
    if done.returncode not in (0, 1):
        raise RuntimeError(f"checkov: {done.stderr.strip()[-500:]}")
    failed: list[dict[str, Any]] = json.loads(done.stdout).get("results", {}).get("failed_checks", [])
    return failed
