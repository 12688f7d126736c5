"""Rendering: the Kubernetes objects of one overlay, and the findings that a check reports about them."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "kserve_manifests"
EKS = ROOT / "eks"

TOOLS = ROOT / ".tools"
"""The programs that `make tools` and `make apiserver` install."""

Object = dict[str, Any]
"""A Kubernetes object, as parsed from YAML."""


class ToolMissing(Exception):
    """A check needs a program or a file that is not installed."""


@dataclass(frozen=True)
class Finding:
    """A fault in the manifests.

    Attributes:
        name: title of the object, or name of the file.
        where: path of the field; empty for the whole object.
        message: the fault and, where it is not obvious, the remedy.
    """

    name: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.where}: {self.message}" if self.where else f"{self.name}: {self.message}"


@dataclass(frozen=True)
class Objects:
    """All objects of one rendered overlay.

    Attributes:
        all: the objects, in the order of the rendering.
        outside: what the cluster provides (``kserve_manifests/outside.yaml``).
    """

    all: list[Object]
    outside: dict[str, Any]

    def of(self, kind: str) -> Iterator[Object]:
        """All objects of a kind."""
        return (each for each in self.all if each.get("kind") == kind)

    def find(self, kind: str, name: str) -> Object | None:
        """The object of a kind and name; ``None`` where there is none."""
        return next((each for each in self.of(kind) if each["metadata"].get("name") == name), None)

    @cached_property
    def chains(self) -> list[Object]:
        """The InferenceServices."""
        return list(self.of("InferenceService"))


def title(each: Object) -> str:
    """Kind and name, by which a finding refers to an object."""
    return f"{each.get('kind')} {each.get('metadata', {}).get('name')}"


def overlays() -> list[str]:
    """Names of the overlays."""
    return sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))


def render(overlay: str) -> Objects:
    """Render an overlay to the objects that ``kubectl apply -k`` sends.

    Raises:
        ToolMissing: neither kustomize nor kubectl is installed.
        RuntimeError: kustomize refuses the overlay; the message is kustomize's.
    """
    local = TOOLS / "kustomize"
    kustomize = str(local) if local.exists() else shutil.which("kustomize")
    kubectl = shutil.which("kubectl")
    if not kustomize and not kubectl:
        raise ToolMissing("neither kustomize nor kubectl is on the PATH: `make tools` installs kustomize")
    command = [kustomize, "build"] if kustomize else [str(kubectl), "kustomize"]
    done = subprocess.run([*command, str(MANIFESTS / "overlays" / overlay)], capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"overlay {overlay}: {done.stderr.strip()}")
    return Objects([each for each in yaml.safe_load_all(done.stdout) if each], outside())


def add_ons() -> list[Object]:
    """The objects of ``eks/manifests``, which are applied beside the charts."""
    files = sorted(path for path in (EKS / "manifests").rglob("*.yaml") if path.name != "kustomization.yaml")
    return [each for path in files for each in yaml.safe_load_all(path.read_text()) if each]


def outside() -> dict[str, Any]:
    """What the manifests refer to and the cluster provides, by category."""
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / "outside.yaml").read_text())
    return found
