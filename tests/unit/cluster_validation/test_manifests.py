"""The manifests have no findings, and every check reports the faults that are planted in them."""

import re
import shutil

import pytest

from cluster_validation.__main__ import CHECKS
from cluster_validation.checks import gpu
from cluster_validation.manifests.objects import ROOT, ToolMissing, overlays
from cluster_validation.metrics import rules
from tests.support.cluster.faults import FAULTS, embedded
from tests.support.cluster.manifests import changed, findings, rendered


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("overlay", overlays())
def test_an_overlay_has_no_findings(overlay, check):
    assert findings(rendered(overlay), CHECKS[check]) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_reported(fault):
    check, mutate, message = FAULTS[fault]
    reported = findings(changed("canary", mutate), check)
    assert any(re.search(message, each) for each in reported), reported


@pytest.mark.parametrize("fault", embedded.FAULTS)
def test_a_fault_planted_in_a_chain_without_triton_is_reported(fault):
    check, mutate, message = embedded.FAULTS[fault]
    reported = findings(changed("small", mutate), check)
    assert any(re.search(message, each) for each in reported), reported


def test_faults_are_planted_for_every_check():
    assert len(FAULTS) >= 20
    assert {check for check, _, _ in FAULTS.values()} == set(CHECKS.values())


def test_the_gpu_check_and_the_export_use_the_same_folder_of_engines():
    source = (ROOT / "export" / "triton" / "gpu_config.py").read_text()
    assert f'ENGINES = "{gpu.ENGINES}"' in source


def test_a_missing_tool_is_named(monkeypatch):
    objects = rendered("gpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolMissing, match="promtool is not on the PATH"):
        list(rules.check(objects))
