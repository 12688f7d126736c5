"""The cluster's Terraform: planned whole, and applied and destroyed against a local AWS API server.

moto lacks EKS add-ons, access entries and Pod Identity associations, and of ElastiCache parameter groups, user groups,
what uses them, and the deletion of subnet groups. Those are left out of what is applied, and looked at in the plan. Nor
does its cluster have a security group, which the store lets in.
"""

import json
import os
import re
import shutil
import subprocess
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

EKS = Path(__file__).parents[2] / "eks"
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
"""Folders in which Terraform's AWS provider may lie; CI and networks without the registry have one."""

LOCAL = """
terraform {
  backend "local" {}
}
provider "aws" {
  s3_use_path_style = true
  max_retries       = 5
}
"""

UNSUPPORTED = """
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

KINDS = {
    "VPCs": ("ec2", "describe_vpcs", "Vpcs"),
    "subnets": ("ec2", "describe_subnets", "Subnets"),
    "route tables": ("ec2", "describe_route_tables", "RouteTables"),
    "internet gateways": ("ec2", "describe_internet_gateways", "InternetGateways"),
    "NAT gateways": ("ec2", "describe_nat_gateways", "NatGateways"),
    "addresses": ("ec2", "describe_addresses", "Addresses"),
    "VPC endpoints": ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    "security groups": ("ec2", "describe_security_groups", "SecurityGroups"),
    "flow logs": ("ec2", "describe_flow_logs", "FlowLogs"),
    "launch templates": ("ec2", "describe_launch_templates", "LaunchTemplates"),
    "clusters": ("eks", "list_clusters", "clusters"),
    "roles": ("iam", "list_roles", "Roles"),
    "instance profiles": ("iam", "list_instance_profiles", "InstanceProfiles"),
    "keys": ("kms", "list_keys", "Keys"),
    "aliases": ("kms", "list_aliases", "Aliases"),
    "buckets": ("s3", "list_buckets", "Buckets"),
    "repositories": ("ecr", "describe_repositories", "repositories"),
    "cache users": ("elasticache", "describe_users", "Users"),
    "secrets": ("secretsmanager", "list_secrets", "SecretList"),
    "log groups": ("logs", "describe_log_groups", "logGroups"),
    "queues": ("sqs", "list_queues", "QueueUrls"),
    "event rules": ("events", "list_rules", "Rules"),
}
"""What there is to leave behind: how to list it. Node groups and policies go with their cluster and role."""

EVERYWHERE = {
    ("karpenter", "LookAround"): "EC2 takes no resource for describing",
    ("karpenter", "Prices"): "the price list is one for all",
    ("autoscaler", "LookAround"): "EC2 and Auto Scaling take no resource for describing",
}
"""The statements, by role and name, that may say ``*`` for a resource, and why AWS asks for it."""

CAN = [
    ("predictor", "s3:GetObject", "-models/model_repository/1/ranker/1/model.onnx", True),
    ("predictor", "s3:GetObject", "-models/releases/1/manifest.json", False),
    ("predictor", "s3:PutObject", "-models/model_repository/1/ranker/1/model.onnx", False),
    ("transformer", "s3:GetObject", "-models/releases/1/manifest.json", True),
    ("transformer", "s3:GetObject", "-features/data/users.parquet", False),
    ("transformer", "s3:DeleteObject", "-models/releases/1/manifest.json", False),
    ("feedback", "s3:PutObject", "-features/data/events/1-0.parquet", True),
    ("feedback", "s3:GetObject", "-features/data/items.parquet", True),
    ("feedback", "s3:GetObject", "-models/releases/1/manifest.json", True),
    ("feedback", "s3:PutObject", "-features/data/items.parquet", False),
    ("feedback", "s3:PutObject", "-models/releases/1/manifest.json", False),
    ("pipelines", "s3:PutObject", "-models/releases/2/manifest.json", True),
    ("pipelines", "s3:PutObject", "-features/data/users.parquet", False),
    ("training", "s3:GetObject", "-features/data/users.parquet", True),
    ("training", "s3:GetObject", "-artifacts/run/1", False),
    ("spark", "s3:PutObject", "-features/features/part-0.parquet", True),
    ("spark", "s3:GetObject", "-models/releases/1/manifest.json", False),
    ("spark", "s3:ListBucket", "-features", True),
    ("spark", "s3:ListBucket", "-models", False),
    ("kubeflow", "s3:PutObject", "-artifacts/run/1", True),
    ("kubeflow", "s3:GetObject", "-models/releases/1/manifest.json", False),
]


HEADS = [
    ("predictor", "-models", True),
    ("transformer", "-models", True),
    ("feedback", "-models", True),
    ("kubeflow", "-artifacts", True),
    ("pipelines", "-artifacts", True),
    ("predictor", "-features", False),
    ("transformer", "-artifacts", False),
    ("training", "-models", False),
]
"""Who may ask whether a bucket is there (HeadBucket), as KServe's download and Kubeflow's servers do first."""


class Terraform:
    """Terraform in a copy of ``eks/`` that keeps its state beside it and is sent to the local API server.

    Args:
        folder: gets the copy.
        plugins: folder of the provider.
        overrides: more Terraform, which takes precedence.
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

    def __call__(self, *arguments: str, check: bool = True, **variables: object) -> subprocess.CompletedProcess[str]:
        given = {"region": REGION, "administrators": [f"arn:aws:iam::{ACCOUNT}:role/admin"]} | variables
        environment = os.environ | {f"TF_VAR_{name}": _hcl(value) for name, value in given.items()}
        done = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self._folder,
            env=environment | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert not check or done.returncode == 0, f"terraform {arguments[0]}: {done.stderr[-4000:]}"
        return done

    def plan(self, *options: str, **variables: object) -> dict[str, dict[str, Any]]:
        """Every planned resource's values by its address; what is not known before the apply is left out."""
        self("plan", "-input=false", "-lock=false", "-out=plan", *options, **variables)
        shown = json.loads(self("show", "-json", "plan").stdout)
        resources = shown["planned_values"]["root_module"]["resources"]
        return {found["address"]: found.get("values", {}) for found in resources}


def _hcl(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _of(planned: dict[str, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    found = {address: values for address, values in planned.items() if address.startswith(f"{kind}.")}
    assert found, f"no {kind} is planned"
    return found


@pytest.fixture(scope="module")
def plugins() -> Path:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    for mirror in map(Path, map(os.path.expanduser, MIRRORS)):
        if any(mirror.glob("registry.terraform.io/hashicorp/aws/*")):
            return mirror
    pytest.skip("Terraform's AWS provider is in none of its plugin folders; name one by WINNOW_TF_PLUGINS")


@pytest.fixture(scope="module")
def whole(aws, plugins, tmp_path_factory) -> Terraform:
    return Terraform(tmp_path_factory.mktemp("whole") / "eks", plugins, LOCAL)


@pytest.fixture(scope="module")
def planned(whole) -> dict[str, dict[str, Any]]:
    return whole.plan()


@pytest.fixture(scope="module")
def found_before(aws) -> dict[str, set[str]]:
    return {kind: _found(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def applied(found_before, plugins, tmp_path_factory) -> Terraform:
    supported = Terraform(tmp_path_factory.mktemp("supported") / "eks", plugins, LOCAL + UNSUPPORTED)
    # One API server of one process: what it answers late is asked again, and made twice.
    supported("apply", "-input=false", "-auto-approve", "-parallelism=3", keep_data=False)
    return supported


@cache
def _client(service: str) -> Any:
    """Kept: making one reads a megabyte of its service's description."""
    return boto3.client(service, region_name=REGION)


def _found(kind: str) -> set[str]:
    """What the API server has of a kind, but for what it only remembers."""
    service, operation, key = KINDS[kind]
    client = _client(service)
    listed = getattr(client, operation)().get(key, [])
    if kind == "keys":
        states = {one["KeyId"]: client.describe_key(KeyId=one["KeyId"])["KeyMetadata"]["KeyState"] for one in listed}
        listed = [key for key, state in states.items() if state != "PendingDeletion"]
    return {json.dumps(one, default=str, sort_keys=True) for one in listed if not _gone(one)}


def _gone(one: Any) -> bool:
    return isinstance(one, dict) and one.get("State") == "deleted"


def _statements(role: str) -> list[dict[str, Any]]:
    iam = _client("iam")
    names = iam.list_role_policies(RoleName=f"winnow-{role}")["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=f"winnow-{role}", PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in document["Statement"]]


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_bucket_of_the_state_can_be_made_in_every_region(aws, region):
    """us-east-1 refuses to be named as a bucket's location; the other regions must be."""
    if shutil.which("aws") is None:
        pytest.skip("the AWS CLI is not installed")
    line = re.search(r"^aws s3\S* (mb|create-bucket) .*$", (EKS / "README.md").read_text(), re.MULTILINE)[0]
    settings = {"STATE": f"state-{region}", "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    done = subprocess.run(["bash", "-c", line], env=os.environ | settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    s3 = boto3.client("s3", region_name=region)
    located = s3.get_bucket_location(Bucket=f"state-{region}")
    s3.delete_bucket(Bucket=f"state-{region}")
    assert located["LocationConstraint"] == (None if region == "us-east-1" else region)


def test_it_is_formatted_and_valid(whole):
    assert shutil.which("terraform")
    assert subprocess.run(["terraform", "fmt", "-check", EKS], capture_output=True).returncode == 0
    whole("validate")


def test_every_wrong_variable_is_refused_by_name(whole):
    gpus = {"ami_type": "AL2023_x86_64_NVIDIA", "capacity_type": "FREE", "instance_types": ["g6.xlarge"]}
    wrong: dict[str, object] = {
        "name": "Winnow_1",
        "region": "Ireland",
        "administrators": [],
        "api_access_cidrs": ["0.0.0.0/0"],
        "vpc_cidr": "10.0.0.0/20",
        "kubernetes_version": "1.29",
        "addons": {"coredns": "latest"},
        "node_groups": {"gpu": gpus | {"min_size": 2, "max_size": 1, "disk_gib": 50}},
        "node_autoscaler": "magic",
        "redis": {"replicas": 0},
        "log_days": 3,
    }
    refused = whole("plan", "-input=false", "-lock=false", check=False, **wrong)
    assert refused.returncode == 1
    said = " ".join(refused.stderr.split())
    assert [name for name in wrong if f"{name}: " not in said] == []
    remedies = ("the whole internet", "all needed", "is pinned", "ON_DEMAND or SPOT", "min_size <=", "nvidia.com/gpu")
    assert [remedy for remedy in remedies if remedy not in said] == []


def test_whatever_can_be_encrypted_is(planned):
    cluster = planned["aws_eks_cluster.this"]
    assert cluster["encryption_config"][0]["resources"] == ["secrets"]
    assert all(key["enable_key_rotation"] for key in _of(planned, "aws_kms_key").values())
    for bucket in _of(planned, "aws_s3_bucket_server_side_encryption_configuration").values():
        assert bucket["rule"][0]["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "aws:kms"
    for repository in _of(planned, "aws_ecr_repository").values():
        assert repository["encryption_configuration"][0]["encryption_type"] == "KMS"
        assert repository["image_tag_mutability"] == "IMMUTABLE"
        assert repository["image_scanning_configuration"] == [{"scan_on_push": True}]
    for template in _of(planned, "aws_launch_template").values():
        assert template["block_device_mappings"][0]["ebs"][0]["encrypted"] == "true"
        assert template["metadata_options"][0]["http_tokens"] == "required"
        assert template["metadata_options"][0]["http_put_response_hop_limit"] == 1
    assert planned['aws_sqs_queue.interruption["karpenter"]']["sqs_managed_sse_enabled"]


def test_nothing_is_open_to_the_internet(planned):
    assert not planned["aws_eks_cluster.this"]["vpc_config"][0]["endpoint_public_access"]
    blocks = _of(planned, "aws_s3_bucket_public_access_block").values()
    switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert len(blocks) == len(_of(planned, "aws_s3_bucket")) == 3
    assert all(block[switch] for block in blocks for switch in switches)
    assert all(not subnet["map_public_ip_on_launch"] for subnet in _of(planned, "aws_subnet").values())
    rules = _of(planned, "aws_vpc_security_group_ingress_rule").values()
    assert {rule.get("cidr_ipv4") for rule in rules} == {None, "10.0.0.0/16"}


def test_the_online_store_has_tls_and_passwords_that_no_plan_knows(planned):
    store = planned['aws_elasticache_replication_group.this["online"]']
    assert store["transit_encryption_enabled"]
    assert store["transit_encryption_mode"] == "required"
    # The provider tells AWS "true" or "false".
    assert str(store["at_rest_encryption_enabled"]).lower() == "true"
    assert (store["num_node_groups"], store["replicas_per_node_group"]) == (2, 1)
    assert store["automatic_failover_enabled"]
    assert store["multi_az_enabled"]
    assert store["auth_token"] is None
    parameters = planned['aws_elasticache_parameter_group.this["online"]']["parameter"]
    assert {one["name"]: one["value"] for one in parameters} == {
        "cluster-enabled": "yes",
        "maxmemory-policy": "noeviction",
    }
    users = _of(planned, "aws_elasticache_user")
    assert planned['aws_elasticache_user.default["online"]']["access_string"] == "off ~* -@all"
    assert "-@dangerous" in planned['aws_elasticache_user.winnow["online"]']["access_string"]
    assert all(not user["passwords"] for user in users.values())
    assert not any(address.startswith("aws_secretsmanager_secret_version.") for address in planned)


def test_every_workload_has_a_service_account_with_a_role_of_its_own(planned):
    associations = _of(planned, "aws_eks_pod_identity_association").values()
    assert {f"{one['namespace']}/{one['service_account']}" for one in associations} == {
        "kube-system/karpenter",
        "kubeflow/ml-pipeline",
        "kubeflow/ml-pipeline-ui",
        "kubeflow/pipeline-runner",
        "winnow-jobs/spark",
        "winnow-jobs/training",
        "winnow/feedback",
        "winnow/predictor",
        "winnow/transformer",
    }
    addons = _of(planned, "aws_eks_addon").values()
    accounts = {addon["addon_name"]: addon["pod_identity_association"] for addon in addons}
    assert {name for name, account in accounts.items() if account} == {"vpc-cni", "aws-ebs-csi-driver"}
    assert all(addon["addon_version"] for addon in addons)
    assert planned["aws_eks_cluster.this"]["access_config"][0]["authentication_mode"] == "API"
    assert len(_of(planned, "aws_eks_access_policy_association")) == 1


def test_the_alternatives_take_the_places_of_the_defaults(whole, planned):
    other = whole.plan(node_autoscaler="cluster-autoscaler", nat_per_zone=True)
    assert len(_of(planned, "aws_nat_gateway")) == 1
    assert len(_of(other, "aws_nat_gateway")) == 3
    assert "aws_sqs_queue.interruption" not in str(other.keys())
    assert 'aws_eks_pod_identity_association.this["kube-system/karpenter"]' not in other
    assert 'aws_eks_pod_identity_association.this["kube-system/cluster-autoscaler"]' in other
    policy = json.loads(other['aws_iam_role_policy.workload["autoscaler"]']["policy"])
    _check_least_privilege("autoscaler", policy["Statement"])
    resize = next(one for one in policy["Statement"] if one["Sid"] == "Resize")
    assert resize["Condition"]["StringEquals"] == {"aws:ResourceTag/k8s.io/cluster-autoscaler/winnow": "owned"}


def test_a_small_cluster_has_one_node_group_and_no_store_and_no_endpoints(whole, planned):
    small = whole.plan("-var-file=small.tfvars")
    (group,) = _of(small, "aws_eks_node_group").values()
    assert group["scaling_config"][0] == {"desired_size": 3, "max_size": 4, "min_size": 3}
    assert group["capacity_type"] == "ON_DEMAND"
    gone = (
        "aws_elasticache_",
        "aws_vpc_endpoint.interface",
        "aws_secretsmanager_secret",
        "aws_sqs_queue",
        "aws_iam_instance",
    )
    assert [address for address in small if address.startswith(gone)] == []
    assert len([address for address in planned if address.startswith(gone)]) >= len(gone)
    assert "aws_vpc_endpoint.s3" in small
    accounts = _of(small, "aws_eks_pod_identity_association").values()
    assert {one["service_account"] for one in accounts} >= {"feedback", "predictor", "transformer"}
    assert not {one["service_account"] for one in accounts} & {"karpenter", "cluster-autoscaler"}
    assert len(_of(small, "aws_s3_bucket")) == 3


def _check_least_privilege(role: str, statements: list[dict[str, Any]]) -> None:
    for statement in statements:
        where = (role, statement.get("Sid"))
        assert statement["Effect"] == "Allow", where
        assert not [action for action in _several(statement["Action"]) if "*" in action], where
        everywhere = "*" in _several(statement["Resource"])
        assert everywhere == (where in EVERYWHERE), where
        if where[1] == "LookAround":
            assert statement["Condition"]["StringEquals"]["aws:RequestedRegion"] == REGION


def test_no_role_may_do_more_than_it_must(applied):
    roles = [role["RoleName"] for role in _client("iam").list_roles()["Roles"]]
    ours = [name.removeprefix("winnow-") for name in roles if name.startswith("winnow-")]
    assert len(ours) == 13
    for role in ours:
        _check_least_privilege(role, _statements(role))


@pytest.mark.parametrize(("role", "action", "target", "expected"), CAN)
def test_a_workload_reaches_its_own_data_only(applied, role, action, target, expected):
    granted = any(
        action in _several(statement["Action"])
        and any(fnmatchcase(f"{BUCKET}{target}", resource) for resource in _several(statement["Resource"]))
        for statement in _statements(role)
    )
    assert granted == expected


@pytest.mark.parametrize(("role", "bucket", "expected"), HEADS)
def test_a_workload_may_ask_whether_its_bucket_is_there(applied, role, bucket, expected):
    """S3 answers HeadBucket to those who may list without a condition on the prefix, which the request has not."""
    granted = any(
        "s3:ListBucket" in _several(statement["Action"])
        and f"{BUCKET}{bucket}" in _several(statement["Resource"])
        and "Condition" not in statement
        for statement in _statements(role)
    )
    assert granted == expected


def test_a_role_is_given_to_its_service_account_only(applied):
    role = _client("iam").get_role(RoleName="winnow-predictor")["Role"]
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/winnow",
        "aws:RequestTag/kubernetes-namespace": "winnow",
        "aws:RequestTag/kubernetes-service-account": "predictor",
    }


def test_aws_own_policies_are_few(applied):
    iam = _client("iam")
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("winnow-")]
    attached = {
        (role, policy["PolicyName"])
        for role in roles
        for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    }
    assert attached == {
        ("winnow-aws-ebs-csi-driver", "AmazonEBSCSIDriverPolicy"),
        ("winnow-cluster", "AmazonEKSClusterPolicy"),
        ("winnow-node", "AmazonEC2ContainerRegistryPullOnly"),
        ("winnow-node", "AmazonEKSWorkerNodePolicy"),
        ("winnow-vpc-cni", "AmazonEKS_CNI_Policy"),
    }


def test_buckets_refuse_what_comes_without_tls(applied):
    s3 = _client("s3")
    for name in ("features", "models", "artifacts"):
        bucket = f"{BUCKET.rpartition(':')[2]}-{name}"
        with pytest.raises(ClientError, match="403"):  # this server speaks plain HTTP, and minds the policy
            s3.put_object(Bucket=bucket, Key="anything", Body=b"")
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_destroying_leaves_nothing_behind(applied, found_before):
    assert [kind for kind in KINDS if not _found(kind) - found_before[kind]] == []
    s3 = _client("s3")
    models = f"{BUCKET.rpartition(':')[2]}-models"
    s3.delete_bucket_policy(Bucket=models)
    s3.put_object(Bucket=models, Key="releases/1/manifest.json", Body=b"{}")
    applied("destroy", "-input=false", "-auto-approve", keep_data=False)
    assert {kind: _found(kind) - found_before[kind] for kind in KINDS} == {kind: set() for kind in KINDS}
