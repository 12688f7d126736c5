"""Terraform in copies of ``eks/``, against the local AWS API server."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cluster_validation.manifests.objects import EKS

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BUCKET = f"arn:aws:s3:::winnow-{ACCOUNT}-{REGION}"
MIRRORS = [
    *([os.environ["WINNOW_TF_PLUGINS"]] if "WINNOW_TF_PLUGINS" in os.environ else []),
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/tf-plugins",
]
"""Folders to search for Terraform's AWS provider, which is not downloaded."""

LOCAL = """
terraform {
  backend "local" {}
}
provider "aws" {
  s3_use_path_style = true
  max_retries       = 5
}
"""

WITHOUT_UNSUPPORTED = """
resource "aws_eks_addon" "first" { for_each = {} }
resource "aws_eks_addon" "then" { for_each = {} }
resource "aws_eks_access_entry" "administrator" { for_each = {} }
resource "aws_eks_access_policy_association" "administrator" { for_each = {} }
resource "aws_eks_pod_identity_association" "this" { for_each = {} }
resource "aws_elasticache_parameter_group" "this" { for_each = {} }
resource "aws_elasticache_subnet_group" "this" { for_each = {} }
resource "aws_vpc_security_group_ingress_rule" "cache" {
  referenced_security_group_id = null
  cidr_ipv4                    = "10.0.0.0/16"
}
resource "aws_elasticache_user_group" "this" {
  for_each = {}
  user_ids = []
}
resource "aws_elasticache_replication_group" "this" {
  for_each             = {}
  parameter_group_name = null
  subnet_group_name    = null
  user_group_ids       = []
}
output "redis_endpoint" { value = null }
"""


class Terraform:
    """Terraform in a copy of ``eks/`` with a local state.

    Args:
        folder: folder to create for the copy.
        plugins: folder of the AWS provider.
        overrides: Terraform that overrides the copy's.
    """

    def __init__(self, folder: Path, plugins: Path, overrides: str) -> None:
        folder.mkdir()
        for source in EKS.glob("*.tf"):
            shutil.copy(source, folder)
        one_a_line = overrides.replace("{ for_each = {} }", "{\n  for_each = {}\n}")
        one_a_line = one_a_line.replace("{ count = 0 }", "{\n  count = 0\n}")
        (folder / "local_override.tf").write_text(one_a_line)
        self._folder = folder
        for sizes in EKS.glob("*.tfvars"):
            if sizes.name != "terraform.tfvars":
                shutil.copy(sizes, folder)
        self("init", "-input=false", f"-plugin-dir={plugins}")

    def __call__(self, *arguments: str, **variables: object) -> str:
        """Run Terraform with some variables; returns its output. A failure fails the test."""
        done = self.attempt(*arguments, **variables)
        assert done.returncode == 0, f"terraform {arguments[0]}: {done.stderr[-4000:]}"
        return done.stdout

    def attempt(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Run Terraform with some variables; a failure is returned."""
        given = {"region": REGION, "administrators": [f"arn:aws:iam::{ACCOUNT}:role/admin"]} | variables
        environment = os.environ | {f"TF_VAR_{name}": _hcl(value) for name, value in given.items()}
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self._folder,
            env=environment | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    def plan(self, *options: str, **variables: object) -> dict[str, dict[str, Any]]:
        """Values of every planned resource by its address, without values that are unknown before the apply."""
        self("plan", "-input=false", "-lock=false", "-out=plan", *options, **variables)
        shown = json.loads(self("show", "-json", "plan"))
        resources = shown["planned_values"]["root_module"]["resources"]
        return {found["address"]: found.get("values", {}) for found in resources}


def _hcl(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def of_kind(planned: dict[str, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The planned resources of a kind, at least one, by their addresses."""
    found = {address: values for address, values in planned.items() if address.startswith(f"{kind}.")}
    assert found, f"no {kind} is planned"
    return found
