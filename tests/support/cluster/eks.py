"""What ``eks/`` declares: add-on manifests, Terraform files and chart values."""

from typing import Any

import yaml

from cluster_validation.manifests.objects import EKS, add_ons


def add_on(kind: str, name: str) -> dict[str, Any]:
    """The object of a kind and name in ``eks/manifests``."""
    (found,) = [each for each in add_ons() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def terraform_file(name: str) -> str:
    """The text of a Terraform file."""
    return (EKS / name).read_text()


def chart_values(release: str) -> dict[str, Any]:
    """The values of a chart."""
    values: dict[str, Any] = yaml.safe_load((EKS / "values" / f"{release}.yaml").read_text())
    return values
