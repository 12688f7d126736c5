"""The pipelines compile with kfp's own command; a run prints to the console and returns its result in a file."""

import errno
import io
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_pipelines.components import IMAGE
from kfp_pipelines.console import StepConsole
from tests.support.paths import ROOT
from winnow.errors import DataError, WinnowError
from winnow.result import VARIABLE, RunResult, reported

EKS = ROOT / "eks" / "manifests" / "karpenter"


BUILT = {"extract", "train", "export"}
STEPS = {
    "feature_extraction": {"fingerprint", "ingest", "encode", "extract"},
    "incremental": {"ingest", "reuse-encoders", "extract", "go-on", "release"},
    "lifecycle/retraining": {"fingerprint", "ingest", "encode", "hold-out", *BUILT, "standing", "condition-1"},
    "lifecycle/promotion": {"promote"},
    "lifecycle/rollback": {"roll-back"},
    "batch/batch_recommendation": {"choose", "recommend"},
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Pipeline -> the documents that kfp's own command compiles it into."""
    folder, compiled = tmp_path_factory.mktemp("packages"), {}
    for pipeline in STEPS:
        package = folder / f"{Path(pipeline).name}.yaml"
        command = [Path(sys.executable).with_name("kfp"), "dsl", "compile", "--py", f"kfp_pipelines/{pipeline}.py"]
        subprocess.run([*command, "--output", package], check=True, capture_output=True, cwd=ROOT, timeout=120)
        compiled[pipeline] = list(yaml.safe_load_all(package.read_text()))
    return compiled


@pytest.mark.parametrize("pipeline", STEPS)
def test_kfp_compiles_the_package(pipeline: str, packages: dict[str, list[dict[str, Any]]]) -> None:
    compiled = packages[pipeline][0]
    assert set(compiled["root"]["dag"]["tasks"]) == STEPS[pipeline]
    assert compiled["pipelineInfo"]["name"] == Path(pipeline).name.replace("_", "-")


def test_retraining_judges_before_it_builds_from_all_events_and_publishes_last(
    packages: dict[str, list[dict[str, Any]]],
) -> None:
    spec = packages["lifecycle/retraining"][0]
    tasks = spec["components"]["comp-condition-1"]["dag"]["tasks"]
    order = list(
        TopologicalSorter({name: task.get("dependentTasks", []) for name, task in tasks.items()}).static_order()
    )
    chain = ["evaluate", "judge", "extract-2", "train-2", "export-2", "check", "publish", "promote"]
    assert order == chain
    assert spec["root"]["dag"]["tasks"]["condition-1"]["triggerPolicy"]["condition"].endswith("published'] == false")
    artifacts = spec["components"]["comp-train"]["outputDefinitions"]["artifacts"]
    assert artifacts["retriever"]["artifactType"]["schemaTitle"] == "system.Model"
    assert spec["components"]["comp-evaluate"]["outputDefinitions"]["artifacts"]["report"]["artifactType"] == {
        "schemaTitle": "system.HTML",
        "schemaVersion": "0.0.1",
    }


def test_every_step_has_its_place_on_the_cluster(packages: dict[str, list[dict[str, Any]]]) -> None:
    for pipeline in ("feature_extraction", "lifecycle/retraining", "batch/batch_recommendation"):
        spec, platform = packages[pipeline]
        pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        executors = spec["deploymentSpec"]["executors"]
        assert set(pods) == set(executors)
        for name, executor in executors.items():
            container, pod = executor["container"], pods[name]
            assert container["image"] == IMAGE == f"winnow/training:{version('winnow')}"
            assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(container["resources"])
            assert int(pod["activeDeadlineSeconds"]) >= 3600
            models = name.removeprefix("exec-").split("-")[0] in ("encode", "train")
            nodes = pod["nodeSelector"]["nodeSelectorJson"]["componentInputParameter"]
            assert nodes.endswith("model_nodes" if models else "data_nodes")
            assert ("accelerator" in container["resources"]) == models
            assert ("tolerations" in pod) == models


def test_a_batch_gets_the_address_of_redis_from_the_secret(packages: dict[str, list[dict[str, Any]]]) -> None:
    executors = packages["batch/batch_recommendation"][1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secrets = executors["exec-recommend"]["secretAsEnv"]
    [secret] = [one for one in secrets if not one.get("optional")]
    assert secret["secretName"] == "redis"
    assert secret["keyToEnv"] == [{"secretKey": "url", "envVar": "REDIS_URL"}]
    assert all(one["optional"] for one in executors["exec-choose"].get("secretAsEnv", ()))


def test_the_nodes_exist_and_are_tolerated(packages: dict[str, list[dict[str, Any]]]) -> None:
    pools = {pool["metadata"]["name"]: pool for pool in yaml.safe_load_all((EKS / "node-pools.yaml").read_text())}
    defaults = packages["feature_extraction"][0]["root"]["inputDefinitions"]["parameters"]
    for parameter in ("data_nodes", "model_nodes"):
        [(label, name)] = defaults[parameter]["defaultValue"].items()
        assert pools[name]["spec"]["template"]["metadata"]["labels"][label] == name
        assert "taints" not in pools[name]["spec"]["template"]["spec"]
    [taint] = pools["training"]["spec"]["template"]["spec"]["taints"]
    [tolerated] = packages["feature_extraction"][1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][
        "exec-encode"
    ]["tolerations"]
    assert (tolerated["key"], tolerated["effect"], tolerated["operator"]) == (taint["key"], taint["effect"], "Exists")


def test_failures_are_retried_except_a_refusal_and_the_present_is_never_cached(
    packages: dict[str, list[dict[str, Any]]],
) -> None:
    spec = packages["lifecycle/retraining"][0]
    tasks = spec["root"]["dag"]["tasks"] | spec["components"]["comp-condition-1"]["dag"]["tasks"]
    retried = {name: task.get("retryPolicy", {}).get("maxRetryCount", 0) for name, task in tasks.items()}
    assert {name for name, count in retried.items() if not count} == {"condition-1", "judge", "check"}
    assert tasks["train"]["retryPolicy"]["backoffDuration"] == "60s"
    assert tasks["train"]["retryPolicy"]["backoffFactor"] == 2
    cached = {name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert set(tasks) - cached == {"condition-1", "fingerprint", "standing", "publish", "promote"}
    present = (
        ("lifecycle/promotion", "promote"),
        ("lifecycle/rollback", "roll-back"),
        ("incremental", "reuse-encoders"),
        ("batch/batch_recommendation", "choose"),
        ("batch/batch_recommendation", "recommend"),
    )
    for pipeline, step in present:
        task = packages[pipeline][0]["root"]["dag"]["tasks"][step]
        assert not task["cachingOptions"].get("enableCache")


def test_the_console_logs_everything_and_shows_steps_and_marked_lines() -> None:
    log, terminal = io.StringIO(), io.StringIO()
    screen = StepConsole(log, terminal)
    said = "12:00:01 - INFO - Executing task \x1b[96m'ingest'\x1b[0m\n    chatter\n    winnow: 7 pictures skipped\n"
    screen.write(said)
    assert log.getvalue() == said
    assert terminal.getvalue() == "▸ ingest\n  7 pictures skipped\n"
    assert screen.step == "ingest"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("two problems\n  1. é"), RunResult(error="two problems\n  1. é", exit_code=2)),
        (WinnowError("no such model"), RunResult(error="no such model", exit_code=1)),
    ],
)
def test_the_error_of_a_step_is_passed_on(
    error: WinnowError, expected: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "outcome.json"))
    with pytest.raises(type(error)), reported():
        raise error
    assert RunResult.read(tmp_path / "outcome.json") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_full_disk_is_reported_and_a_bug_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outcome.json"
    monkeypatch.setenv(VARIABLE, str(path))
    for bug in (ValueError("cannot reshape"), FileNotFoundError(errno.ENOENT, "No such file", "weights.pt")):
        with pytest.raises(type(bug)), reported():
            raise bug
        assert RunResult.read(path) is None
    for where in ("/home/models", None):
        with pytest.raises(OSError, match="No space"), reported():
            raise OSError(errno.ENOSPC, "No space left on device", where)
        outcome = RunResult.read(path)
        assert outcome is not None
        said = f"{where}: " if where else ""
        assert outcome.error.startswith(f"{said}No space left on device. Make room")


def test_on_the_cluster_an_error_is_raised_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError), reported():
        raise DataError("two problems")
    assert not list(tmp_path.iterdir())
