"""IAM policy statements: whether they are as narrow as AWS allows."""

from typing import Any

from tests.support.cluster.terraform import REGION

ANY_RESOURCE = {
    ("karpenter", "DescribeResources"): "EC2 supports no resources for describing",
    ("karpenter", "Prices"): "the price list is global",
    ("autoscaler", "DescribeResources"): "EC2 and Auto Scaling support no resources for describing",
}
"""Reason why a statement, by role and id, has the resource ``*``."""


def as_list(value: str | list[str]) -> list[str]:
    """A policy's field, which is a string or a list of strings, as a list."""
    return [value] if isinstance(value, str) else value


def check_least_privilege(role: str, statements: list[dict[str, Any]]) -> None:
    """Assert that statements name single actions and, but for those of ``ANY_RESOURCE``, their resources."""
    for statement in statements:
        where = (role, statement.get("Sid"))
        assert statement["Effect"] == "Allow", where
        assert not [action for action in as_list(statement["Action"]) if "*" in action], where
        everywhere = "*" in as_list(statement["Resource"])
        assert everywhere == (where in ANY_RESOURCE), where
        if where[1] == "DescribeResources":
            assert statement["Condition"]["StringEquals"]["aws:RequestedRegion"] == REGION
