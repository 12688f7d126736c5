"""The plan of the whole configuration: variables, encryption, networks, the online store, accounts and sizes."""

import json
import os
import re
import shutil
import subprocess

import boto3
import pytest

from cluster_validation.manifests.objects import EKS
from tests.support.cluster.iam import check_least_privilege
from tests.support.cluster.terraform import of_kind


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_state_bucket_can_be_created_in_every_region(aws, region):
    """us-east-1 refuses a location constraint of its own name; the other regions require one."""
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


def test_the_configuration_is_formatted_and_valid(whole):
    assert shutil.which("terraform")
    assert subprocess.run(["terraform", "fmt", "-check", EKS], capture_output=True).returncode == 0
    whole("validate")


def test_every_invalid_variable_is_refused_by_name(whole):
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
    refused = whole.attempt("plan", "-input=false", "-lock=false", **wrong)
    assert refused.returncode == 1
    error = " ".join(refused.stderr.split())
    assert [name for name in wrong if f"{name}: " not in error] == []
    remedies = ("the whole internet", "all needed", "is pinned", "ON_DEMAND or SPOT", "min_size <=", "nvidia.com/gpu")
    assert [remedy for remedy in remedies if remedy not in error] == []


def test_all_data_is_encrypted(planned):
    cluster = planned["aws_eks_cluster.this"]
    assert cluster["encryption_config"][0]["resources"] == ["secrets"]
    assert all(key["enable_key_rotation"] for key in of_kind(planned, "aws_kms_key").values())
    for bucket in of_kind(planned, "aws_s3_bucket_server_side_encryption_configuration").values():
        assert bucket["rule"][0]["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "aws:kms"
    for repository in of_kind(planned, "aws_ecr_repository").values():
        assert repository["encryption_configuration"][0]["encryption_type"] == "KMS"
        assert repository["image_tag_mutability"] == "IMMUTABLE"
        assert repository["image_scanning_configuration"] == [{"scan_on_push": True}]
    for template in of_kind(planned, "aws_launch_template").values():
        assert template["block_device_mappings"][0]["ebs"][0]["encrypted"] == "true"
        assert template["metadata_options"][0]["http_tokens"] == "required"
        assert template["metadata_options"][0]["http_put_response_hop_limit"] == 1
    assert planned['aws_sqs_queue.interruption["karpenter"]']["sqs_managed_sse_enabled"]


def test_nothing_is_open_to_the_internet(planned):
    assert not planned["aws_eks_cluster.this"]["vpc_config"][0]["endpoint_public_access"]
    blocks = of_kind(planned, "aws_s3_bucket_public_access_block").values()
    switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert len(blocks) == len(of_kind(planned, "aws_s3_bucket")) == 3
    assert all(block[switch] for block in blocks for switch in switches)
    assert all(not subnet["map_public_ip_on_launch"] for subnet in of_kind(planned, "aws_subnet").values())
    rules = of_kind(planned, "aws_vpc_security_group_ingress_rule").values()
    assert {rule.get("cidr_ipv4") for rule in rules} == {None, "10.0.0.0/16"}


def test_the_online_store_has_tls_and_no_password_in_the_plan(planned):
    store = planned['aws_elasticache_replication_group.this["online"]']
    assert store["transit_encryption_enabled"]
    assert store["transit_encryption_mode"] == "required"
    # The provider represents it as the string "true" or "false".
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
    users = of_kind(planned, "aws_elasticache_user")
    assert planned['aws_elasticache_user.default["online"]']["access_string"] == "off ~* -@all"
    assert "-@dangerous" in planned['aws_elasticache_user.winnow["online"]']["access_string"]
    assert all(not user["passwords"] for user in users.values())
    assert not any(address.startswith("aws_secretsmanager_secret_version.") for address in planned)


def test_every_workload_has_a_service_account_with_its_own_role(planned):
    associations = of_kind(planned, "aws_eks_pod_identity_association").values()
    assert {f"{one['namespace']}/{one['service_account']}" for one in associations} == {
        "kube-system/karpenter",
        "kubeflow/ml-pipeline",
        "kubeflow/ml-pipeline-ui",
        "kubeflow/pipeline-runner",
        "milvus/milvus",
        "winnow-jobs/spark",
        "winnow-jobs/training",
        "winnow/feedback",
        "winnow/predictor",
        "winnow/transformer",
    }
    addons = of_kind(planned, "aws_eks_addon").values()
    accounts = {addon["addon_name"]: addon["pod_identity_association"] for addon in addons}
    assert {name for name, account in accounts.items() if account} == {"vpc-cni", "aws-ebs-csi-driver"}
    assert all(addon["addon_version"] for addon in addons)
    assert planned["aws_eks_cluster.this"]["access_config"][0]["authentication_mode"] == "API"
    assert len(of_kind(planned, "aws_eks_access_policy_association")) == 1


def test_there_is_no_glue_job_unless_it_is_asked_for(planned):
    assert [address for address in planned if address.startswith(("aws_glue_job", "aws_iam_role.glue"))] == []


def test_the_cluster_autoscaler_and_nat_per_zone_replace_the_defaults(whole, planned):
    other = whole.plan(node_autoscaler="cluster-autoscaler", nat_per_zone=True)
    assert len(of_kind(planned, "aws_nat_gateway")) == 1
    assert len(of_kind(other, "aws_nat_gateway")) == 3
    assert "aws_sqs_queue.interruption" not in str(other.keys())
    assert 'aws_eks_pod_identity_association.this["kube-system/karpenter"]' not in other
    assert 'aws_eks_pod_identity_association.this["kube-system/cluster-autoscaler"]' in other
    policy = json.loads(other['aws_iam_role_policy.workload["autoscaler"]']["policy"])
    check_least_privilege("autoscaler", policy["Statement"])
    resize = next(one for one in policy["Statement"] if one["Sid"] == "Resize")
    assert resize["Condition"]["StringEquals"] == {"aws:ResourceTag/k8s.io/cluster-autoscaler/winnow": "owned"}


def test_a_small_cluster_has_one_node_group_and_no_store_and_no_endpoints(whole, planned):
    small = whole.plan("-var-file=small.tfvars")
    (group,) = of_kind(small, "aws_eks_node_group").values()
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
    accounts = of_kind(small, "aws_eks_pod_identity_association").values()
    assert {one["service_account"] for one in accounts} >= {"feedback", "predictor", "transformer"}
    assert not {one["service_account"] for one in accounts} & {"karpenter", "cluster-autoscaler"}
    assert len(of_kind(small, "aws_s3_bucket")) == 3
