"""Schemas of Kubernetes' own kinds, as the package ``kubernetes-validate`` carries them."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

KUBERNETES = "1.35"
"""The Kubernetes version of the cluster in ``eks/``."""

CORE = (
    "v1",
    "apps/v1",
    "batch/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
    "storage.k8s.io/v1",
)
"""API versions of Kubernetes' own kinds."""


@cache
def core_validator(kind: str, api_version: str) -> Draft202012Validator:
    """Validator of one of Kubernetes' own kinds."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], version)))
    schema = json.loads((folder / f"{name}.json").read_text())
    registry: Registry[Any] = Resource.from_contents(_definitions(str(folder))) @ Registry()
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


@cache
def _definitions(folder: str) -> Any:
    return json.loads(Path(folder, "_definitions.json").read_text())
