"""Recording and alerting rules, checked and unit-tested by Prometheus' ``promtool``."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from cluster_validation.manifests.objects import MANIFESTS, Finding, Objects, ToolMissing, title

TESTS = MANIFESTS / "tests" / "rules.yaml"


def check(objects: Objects) -> Iterator[Finding]:
    """``promtool check rules`` and ``promtool test rules``.

    Raises:
        ToolMissing: promtool is not installed.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        raise ToolMissing("promtool is not on the PATH (Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory(prefix="winnow-rules-") as name:
        folder = Path(name)
        files = []
        for each in objects.of("PrometheusRule"):
            files.append(f"{each['metadata']['name']}.yaml")
            (folder / files[-1]).write_text(yaml.safe_dump({"groups": each["spec"]["groups"]}))
            if failed := _failure(promtool, "check", "rules", str(folder / files[-1])):
                yield Finding(title(each), "spec.groups", failed)
        tests = yaml.safe_load(TESTS.read_text()) | {"rule_files": files}
        (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
        if failed := _failure(promtool, "test", "rules", str(folder / "tests.yaml")):
            yield Finding("PrometheusRules", TESTS.name, failed)


def _failure(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()
