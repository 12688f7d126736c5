"""checkov's policies: no unexplained violation, and a public bucket is reported."""

import shutil
from pathlib import Path

import pytest

from cluster_validation.manifests.objects import EKS, ToolMissing, overlays, render
from cluster_validation.policies import checkov


@pytest.fixture(autouse=True)
def _checkov() -> None:
    try:
        checkov.checkov()
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_every_violation_is_waived_and_every_waiver_has_a_violation() -> None:
    found = checkov.check([(name, render(name)) for name in overlays()])
    assert [str(finding) for finding in found] == []


def test_a_public_bucket_is_reported(tmp_path: Path) -> None:
    copied = tmp_path / "eks"
    shutil.copytree(EKS, copied, ignore=shutil.ignore_patterns(".terraform*"))
    (copied / "open.tf").write_text(
        'resource "aws_s3_bucket_public_access_block" "open" {\n'
        '  bucket            = aws_s3_bucket.this["models"].id\n'
        "  block_public_acls = false\n"
        "}\n"
    )
    found = [str(finding) for finding in checkov.check([], copied)]
    assert any("aws_s3_bucket_public_access_block.open: open.tf: CKV_AWS_53" in finding for finding in found), found
