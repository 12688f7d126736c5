"""The objects of one overlay, and what a check says about one of them."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[1] / "kserve_manifests"

TOOLS = MANIFESTS.parent / ".tools"
"""What `make tools` and `make apiserver` put there."""

Object = dict[str, Any]


class ToolMissing(Exception):
    """A check needs a program or a file that is not here."""


@dataclass(frozen=True)
class Finding:
    """What is wrong: with which object, where in it, and what to do about it."""

    name: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.where}: {self.message}" if self.where else f"{self.name}: {self.message}"


@dataclass(frozen=True)
class Objects:
    """All objects of one rendered overlay.

    Attributes:
        all: in the order of the rendering.
        outside: what the cluster brings (``kserve_manifests/outside.yaml``).
    """

    all: list[Object]
    outside: dict[str, Any]

    def of(self, kind: str) -> Iterator[Object]:
        """Those of one kind."""
        return (each for each in self.all if each.get("kind") == kind)

    def find(self, kind: str, name: str) -> Object | None:
        """The one of that kind and name, if there is one."""
        return next((each for each in self.of(kind) if each["metadata"].get("name") == name), None)

    @cached_property
    def chains(self) -> list[Object]:
        """The InferenceServices."""
        return list(self.of("InferenceService"))


def title(each: Object) -> str:
    """How a finding names an object."""
    return f"{each.get('kind')} {each.get('metadata', {}).get('name')}"


def overlays() -> list[str]:
    """Names of the overlays."""
    return sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))


def render(overlay: str) -> Objects:
    """What ``kubectl apply -k`` would send.

    Raises:
        ToolMissing: neither kustomize nor kubectl is here.
        RuntimeError: kustomize refuses the overlay; the message is its own.
    """
    local = TOOLS / "kustomize"
    kustomize = str(local) if local.exists() else shutil.which("kustomize")
    kubectl = shutil.which("kubectl")
    if not kustomize and not kubectl:
        raise ToolMissing("neither kustomize nor kubectl is on the PATH: `make tools` fetches kustomize")
    command = [kustomize, "build"] if kustomize else [str(kubectl), "kustomize"]
    done = subprocess.run([*command, str(MANIFESTS / "overlays" / overlay)], capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"overlay {overlay}: {done.stderr.strip()}")
    return Objects([each for each in yaml.safe_load_all(done.stdout) if each], outside())


def outside() -> dict[str, Any]:
    """What the cluster brings."""
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / "outside.yaml").read_text())
    return found
