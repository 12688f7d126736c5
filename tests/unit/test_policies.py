"""checkov's policies: a clean house, and a bucket that is open to all."""

import shutil
from pathlib import Path

import pytest

from validation import policies
from validation.objects import ToolMissing, overlays, render


@pytest.fixture(autouse=True)
def checkov() -> None:
    try:
        policies.checkov()
    except ToolMissing as missing:
        pytest.skip(str(missing))


def test_what_is_not_followed_is_waived_and_what_is_waived_is_not_followed() -> None:
    found = policies.check([(name, render(name)) for name in overlays()])
    assert [str(finding) for finding in found] == []


def test_an_open_bucket_is_named(tmp_path: Path) -> None:
    copied = tmp_path / "eks"
    shutil.copytree(policies.ROOT / "eks", copied, ignore=shutil.ignore_patterns(".terraform*"))
    (copied / "open.tf").write_text(
        'resource "aws_s3_bucket_public_access_block" "open" {\n'
        '  bucket            = aws_s3_bucket.this["models"].id\n'
        "  block_public_acls = false\n"
        "}\n"
    )
    found = [str(finding) for finding in policies.check([], copied)]
    assert any("aws_s3_bucket_public_access_block.open: open.tf: CKV_AWS_53" in finding for finding in found), found
