"""The configuration, applied to a local AWS API server and destroyed: roles, buckets, and remaining resources.

moto lacks EKS add-ons, access entries and Pod Identity associations; of ElastiCache parameter groups, user groups, the
resources that use them, and the deletion of subnet groups; and its cluster has no security group. These are not applied
here; test_plan.py checks their plan.
"""

import json
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.cluster.iam import as_list, check_least_privilege
from tests.support.cluster.terraform import ACCOUNT, BUCKET, LOCAL, REGION, WITHOUT_UNSUPPORTED, Terraform

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
    "Glue jobs": ("glue", "get_jobs", "Jobs"),
}
"""How to list each kind of resource; node groups and policies are deleted with their cluster and role."""

UNATTENDED = ["-input=false", "-auto-approve", "-parallelism=3"]
"""The API server is one process: a request that it answers late is repeated, and its resource created twice."""

PERMISSIONS = [
    ("predictor", "s3:GetObject", "-models/model_repository/1/ranker/1/model.onnx", True),
    ("predictor", "s3:GetObject", "-models/releases/1/manifest.json", False),
    ("predictor", "s3:PutObject", "-models/model_repository/1/ranker/1/model.onnx", False),
    ("transformer", "s3:GetObject", "-models/releases/1/manifest.json", True),
    ("transformer", "s3:GetObject", "-models/model_repository/1/ranker/1/model.onnx", True),
    ("transformer", "s3:PutObject", "-models/model_repository/1/ranker/1/model.onnx", False),
    ("transformer", "s3:GetObject", "-features/data/users.parquet", False),
    ("transformer", "s3:DeleteObject", "-models/releases/1/manifest.json", False),
    ("feedback", "s3:PutObject", "-features/data/events/1-0.parquet", True),
    ("feedback", "s3:GetObject", "-features/data/items.parquet", True),
    ("feedback", "s3:GetObject", "-models/releases/1/manifest.json", True),
    ("feedback", "s3:PutObject", "-features/data/items.parquet", False),
    ("feedback", "s3:PutObject", "-models/releases/1/manifest.json", False),
    ("milvus", "s3:PutObject", "-features/milvus/insert_log/1", True),
    ("milvus", "s3:GetObject", "-features/data/items.parquet", False),
    ("pipelines", "s3:PutObject", "-models/releases/2/manifest.json", True),
    ("pipelines", "s3:PutObject", "-features/data/users.parquet", False),
    ("training", "s3:GetObject", "-features/features/items.parquet", True),
    ("training", "s3:GetObject", "-features/data/users.parquet", False),
    ("training", "s3:PutObject", "-features/features/items.parquet", False),
    ("training", "s3:PutObject", "-artifacts/v2/retraining/run/train/1/checkpoints/step-1/0.distcp", True),
    ("training", "s3:DeleteObject", "-artifacts/v2/retraining/run/train/1/checkpoints/step-1/0.distcp", True),
    ("training", "s3:GetObject", "-models/releases/1/manifest.json", False),
    ("spark", "s3:PutObject", "-features/features/part-0.parquet", True),
    ("spark", "s3:GetObject", "-models/releases/1/manifest.json", False),
    ("glue", "s3:GetObject", "-features/glue/features.py", True),
    ("glue", "s3:GetObject", "-features/data/events/1-0.parquet", True),
    ("glue", "s3:PutObject", "-features/features/point-in-time-1/log/part-0.parquet", True),
    ("glue", "s3:PutObject", "-features/data/users.parquet", False),
    ("glue", "s3:PutObject", "-features/glue/features.py", False),
    ("glue", "s3:GetObject", "-models/releases/1/manifest.json", False),
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
    ("milvus", "-features", True),
    ("predictor", "-features", False),
    ("transformer", "-artifacts", False),
    ("training", "-models", False),
]
"""Whether a role may call HeadBucket, which KServe's download and Kubeflow's servers do first."""


@pytest.fixture(scope="module")
def found_before(aws) -> dict[str, set[str]]:
    return {kind: _found(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def applied(found_before, plugins, tmp_path_factory) -> Terraform:
    supported = Terraform(tmp_path_factory.mktemp("supported") / "eks", plugins, LOCAL + WITHOUT_UNSUPPORTED)
    supported("apply", *UNATTENDED, keep_data=False, glue_features=True)
    return supported


@cache
def _client(service: str) -> Any:
    """A cached client: creating one reads a megabyte of its service's description."""
    return boto3.client(service, region_name=REGION)


def _found(kind: str) -> set[str]:
    """The existing resources of a kind, without those that are marked as deleted."""
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


@pytest.mark.slow
def test_every_role_has_least_privilege(applied):
    roles = [role["RoleName"] for role in _client("iam").list_roles()["Roles"]]
    ours = [name.removeprefix("winnow-") for name in roles if name.startswith("winnow-")]
    assert len(ours) == 15
    for role in ours:
        check_least_privilege(role, _statements(role))


@pytest.mark.parametrize(("role", "action", "target", "expected"), PERMISSIONS)
def test_a_workload_has_access_only_to_its_data(applied, role, action, target, expected):
    granted = any(
        action in as_list(statement["Action"])
        and any(fnmatchcase(f"{BUCKET}{target}", resource) for resource in as_list(statement["Resource"]))
        for statement in _statements(role)
    )
    assert granted == expected


@pytest.mark.parametrize(("role", "bucket", "expected"), HEADS)
def test_a_workload_may_call_head_bucket_on_its_bucket(applied, role, bucket, expected):
    """HeadBucket requires permission to list without a condition on the prefix, which the request does not have."""
    granted = any(
        "s3:ListBucket" in as_list(statement["Action"])
        and f"{BUCKET}{bucket}" in as_list(statement["Resource"])
        and "Condition" not in statement
        for statement in _statements(role)
    )
    assert granted == expected


def test_a_role_is_assumed_only_by_its_service_account(applied):
    role = _client("iam").get_role(RoleName="winnow-predictor")["Role"]
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/winnow",
        "aws:RequestTag/kubernetes-namespace": "winnow",
        "aws:RequestTag/kubernetes-service-account": "predictor",
    }


def test_the_glue_job_is_started_with_an_output_and_acts_for_this_account_only(applied):
    glue = _client("glue")
    job = glue.get_job(JobName="winnow-features")["Job"]
    bucket = f"s3://{BUCKET.rpartition(':')[2]}-features"
    assert job["Command"] == {"Name": "glueetl", "PythonVersion": "3", "ScriptLocation": f"{bucket}/glue/features.py"}
    assert job["GlueVersion"] == "5.0"
    assert job["DefaultArguments"]["--data"] == f"{bucket}/data"
    role = _client("iam").get_role(RoleName=job["Role"].rpartition("/")[2])["Role"]
    (trusted,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "glue.amazonaws.com"}
    assert trusted["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    arguments = {"--output": f"{bucket}/features/point-in-time-1"}
    run = glue.start_job_run(JobName="winnow-features", Arguments=arguments)["JobRunId"]
    started = glue.get_job_run(JobName="winnow-features", RunId=run)["JobRun"]["Arguments"]
    assert started == job["DefaultArguments"] | arguments


def test_only_five_managed_policies_are_attached(applied):
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


def test_buckets_refuse_requests_without_tls(applied):
    s3 = _client("s3")
    for name in ("features", "models", "artifacts"):
        bucket = f"{BUCKET.rpartition(':')[2]}-{name}"
        with pytest.raises(ClientError, match="403"):  # This server speaks plain HTTP and enforces the policy.
            s3.put_object(Bucket=bucket, Key="anything", Body=b"")
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_destroying_leaves_no_resources(applied, found_before):
    assert [kind for kind in KINDS if not _found(kind) - found_before[kind]] == []
    s3 = _client("s3")
    models = f"{BUCKET.rpartition(':')[2]}-models"
    s3.delete_bucket_policy(Bucket=models)
    s3.put_object(Bucket=models, Key="releases/1/manifest.json", Body=b"{}")
    applied("destroy", *UNATTENDED, keep_data=False, glue_features=True)
    assert {kind: _found(kind) - found_before[kind] for kind in KINDS} == {kind: set() for kind in KINDS}
