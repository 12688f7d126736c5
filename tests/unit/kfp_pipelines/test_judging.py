"""The steps that judge, run in this process on small releases: what the pipeline's own run does not come to."""

from pathlib import Path

import numpy as np
import pytest
from kfp import dsl

from kfp_pipelines.lifecycle import judging
from kfp_pipelines.lifecycle.scratch import scratch
from kfp_pipelines.lifecycle.verdicts import Refused, together
from tests.support.lifecycle.homes import add_release
from winnow import home
from winnow.lifecycle.gate import Check, Verdict, write
from winnow.release import MANIFEST, Release, sha256

PASSED = Check(name="files", passed=True, message="whole")
FAILED = Check(name="load: p99", passed=False, value=300.0, bound=200.0, message="300 ms of at most 200")


def verdict(*checks: Check, evaluated: int | None = None) -> Verdict:
    passed = all(check.passed for check in checks)
    return Verdict(release=2, live=1, evaluated=evaluated, passed=passed, checks=checks)


@pytest.fixture
def twin(tmp_path: Path) -> Release:
    """Release 1 of a home, built with a hold-out that no user has enough events for."""
    built = add_release(tmp_path / "twin", 1)
    np.save(built.folder / "holdout.npy", np.zeros(0, np.int64))
    files = built.manifest.files | {"holdout.npy": sha256(built.folder / "holdout.npy")}
    manifest = built.manifest.model_copy(update={"files": files, "holdout": "last"})
    (built.folder / MANIFEST).write_text(manifest.model_dump_json())
    return Release.open(built.folder)


def artefact(path: Path) -> dsl.Artifact:
    return dsl.Artifact(uri=str(path))


def test_a_release_without_held_out_events_is_judged_by_the_rule_for_that(twin: Release, tmp_path: Path) -> None:
    evaluation, report, said = (artefact(tmp_path / name) for name in ("evaluation", "report.html", "verdict"))
    given = {"home": str(tmp_path / "home"), "live": 0, "twin": artefact(twin.folder.parents[1])}
    judging.evaluate.python_func(**given, evaluation=evaluation, report=report)
    assert "no user has enough events" in Path(report.path).read_text()
    for rule, passed in (("pass", True), ("refuse", False)):
        # This release lacks a profile of its data, so it is refused in any case.
        with pytest.raises(
            Refused, match=r"the gate refused release 1, nothing is published: .*data: release 1 has no"
        ):
            judging.judge.python_func(
                **given, rules=f"metrics: {{too_few_users: {rule}}}", evaluation=evaluation, verdict=said
            )
        written = Verdict.model_validate_json((tmp_path / "verdict/evaluations/1/gate.json").read_bytes())
        [missing] = [check for check in written.checks if "no user has enough events" in check.message]
        assert missing.passed == passed


def test_the_verdicts_on_twin_and_release_are_joined(tmp_path: Path) -> None:
    write(tmp_path, verdict(PASSED, evaluated=2))
    joined = together(tmp_path, verdict(PASSED, FAILED))
    assert [check.name for check in joined.checks] == ["files (of the evaluated build)", "files", "load: p99"]
    assert (joined.evaluated, joined.passed) == (2, False)


def test_a_step_has_a_home_of_its_own_with_both_releases(
    twin: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "other"))
    add_release(tmp_path / "home", 3)
    with scratch(twin.folder.parents[1], str(tmp_path / "home"), 3) as (own, candidate, live):
        assert home.home() == own
        assert (candidate.manifest.number, live.manifest.number) == (1, 3)  # type: ignore[union-attr]
        assert home.onnx_model(3, "ranker").is_file()
    assert not own.exists()
    assert home.home() == tmp_path / "other"
