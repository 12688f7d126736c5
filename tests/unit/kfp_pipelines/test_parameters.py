"""The pipelines' parameters have one definition: the compiled form, the command line and the manifest agree with it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from kfp_pipelines import components
from kfp_pipelines.__main__ import app
from kfp_pipelines.build import build
from kfp_pipelines.cluster_training import train_on_cluster
from kfp_pipelines.feature_extraction import feature_extraction
from kfp_pipelines.going_on import go_on, reuse_encoders
from kfp_pipelines.incremental import incremental
from kfp_pipelines.lifecycle import components as lifecycle
from kfp_pipelines.lifecycle import judging
from kfp_pipelines.lifecycle.retraining import retraining
from kfp_pipelines.parameters import (
    BUILD,
    FEATURE_EXTRACTION,
    INCREMENTAL,
    PLACEMENT,
    RETRAINING,
    Parameters,
    TrainOn,
    check_settings,
    checked_train_on,
    inputs,
)
from winnow import provenance
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import WinnowError
from winnow.release import BuildInputs
from winnow.settings.training import TrainingSettings

DATA = {
    "data": "",
    "items": 2000,
    "users": 3000,
    "events": 150_000,
    "seed": 7,
    "encoders": "",
    "embeddings": "",
    "triton": "",
    "output": "",
    "point_in_time": "",
    "training": "",
}
PODS = {
    "step_cpu": "3",
    "step_memory": "12Gi",
    "step_gpus": "0",
    "data_nodes": {"winnow/pool": "cpu"},
    "model_nodes": {"winnow/pool": "cpu"},
}
TRAIN_JOB = {"train_on": "process", "nodes": 1, "gpus": 1, "hours": 24}
FORMS = {
    "feature-extraction": {**DATA, "holdout": "none", **PODS},
    "retraining": {**DATA, "rules": "", "home": None, "gate": "", **TRAIN_JOB, **PODS},
    "build": {**DATA, "rules": "", "home": None, "holdout": "none", "profile": ""},
    "incremental": {
        **{name: default for name, default in DATA.items() if name not in ("encoders", "training")},
        "rules": "",
        "home": None,
        "holdout": "none",
        "profile": "",
        "from_release": 0,
    },
}
"""The forms of the pipelines in the Kubeflow UI, name -> default: users and schedules rely on them."""

KINDS = {int: "Integer", dict: "Dict"}


@pytest.mark.parametrize(
    "pipeline", [feature_extraction, retraining, build, incremental], ids=lambda pipeline: pipeline.name
)
def test_a_compiled_pipeline_has_the_public_parameters(pipeline: Any) -> None:
    compiled, expected = pipeline.component_spec.inputs, FORMS[pipeline.name]
    assert {name: spec.default for name, spec in compiled.items()} == expected
    assert {name: spec.type for name, spec in compiled.items()} == {
        name: KINDS.get(type(default), "String") for name, default in expected.items()
    }
    assert {name for name, spec in compiled.items() if not spec.optional} == set(expected) & {"home"}
    assert all(spec.description for spec in compiled.values()), "the form in the UI explains every field"


def test_every_parameter_is_documented_and_reaches_a_step() -> None:
    data = (components.fingerprint, components.ingest, components.encode, components.extract)
    steps = (*data, components.train, lifecycle.export, judging.judge)
    taken = {name for step in steps for name in inputs(step, dict.fromkeys(Parameters.model_fields))}
    # Steps call them `settings` and `rules`: an artefact, or a function, has the parameter's name.
    assert taken | {"encoders", "gate", *PLACEMENT} == set(Parameters.model_fields) - {"from_release"}
    assert set(FEATURE_EXTRACTION) == set(FORMS["feature-extraction"])
    assert set(RETRAINING) == set(FORMS["retraining"])
    assert set(BUILD) == set(FORMS["build"])
    assert set(INCREMENTAL) == set(FORMS["incremental"])
    steps = (components.ingest, reuse_encoders, components.extract, go_on, components.release)
    assert {name for step in steps for name in inputs(step, dict.fromkeys(INCREMENTAL))} == set(INCREMENTAL)


def test_the_marketplace_has_the_same_default_size_everywhere() -> None:
    size, source = MarketplaceSize(), BuildInputs()
    assert (size.items, size.users, size.events, size.seed) == (source.items, source.users, source.events, source.seed)
    assert set(BuildInputs.model_fields) <= set(Parameters.model_fields)


@pytest.mark.parametrize("command", ["feature-extraction", "build", "incremental"])
def test_the_command_line_has_an_option_per_parameter(command: str) -> None:
    helped = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert helped.exit_code == 0
    for name in FORMS[command]:
        assert (f"--{name.replace('_', '-')} " in helped.output) == (name not in ("home", *PODS))
    assert ("--resume" in helped.output) == (command != "feature-extraction")


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        (
            "--training=retriever: {layers: 0}",
            2,
            "training: retriever.layers: must be greater than or equal to 1, got 0",
        ),
        ("--encoders=video: winnow-tiny", 2, "encoders: video: unknown; "),
    ],
)
def test_wrong_settings_end_a_run_before_its_first_step(option: str, code: int, message: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "kfp_pipelines", "build", option],
        env={"WINNOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (code, "")
    assert run.stderr.startswith(f"winnow: {message}")
    assert run.stderr.count("\n") == 1
    assert not list((tmp_path / "pipelines").glob("*.log"))


def test_right_settings_pass() -> None:
    check_settings({"encoders": "tiny: {steps: 3}", "training": "ranker: {epochs: 1}"})
    check_settings({})
    with pytest.raises(WinnowError):
        check_settings({"training": "ranker: {epochs: 0}"})


def test_steps_record_inputs_that_together_are_the_build_s(tmp_path: Path) -> None:
    dataset, encoders, retriever = (tmp_path / name for name in ("dataset", "encoders", "retriever"))
    for folder in (dataset, encoders, retriever):
        folder.mkdir()
    provenance.record(dataset, data="/shop", items=1, users=2, events=3, seed=4)
    provenance.record(encoders, encoders='{"audio":null}')
    provenance.record(retriever, training="")
    expected = BuildInputs(data="/shop", items=1, users=2, events=3, seed=4, encoders='{"audio":null}')
    assert provenance.recorded(dataset, encoders, retriever) == expected


@pytest.mark.parametrize(
    ("address", "nodes", "message"),
    [
        (
            "minio://mlpipeline/run",
            1,
            "features is at minio://mlpipeline/run/features, which the nodes of a TrainJob cannot",
        ),
        ("s3://bucket/run", 0, "train_on: trainjob: nodes: must be greater than or equal to 1, got 0"),
        ("s3://bucket/run", 65, "train_on: trainjob: nodes: must be less than or equal to 64, got 65"),
    ],
)
def test_a_train_job_that_cannot_work_is_refused_before_it_is_launched(address: str, nodes: int, message: str) -> None:
    artefacts = {name: f"{address}/{name}" for name in ("features", "retriever", "ranker")}
    with pytest.raises(WinnowError, match=re.escape(message)):
        train_on_cluster(artefacts, TrainingSettings(), nodes=nodes, gpus=1, hours=1)


def test_the_place_to_train_on_is_one_of_two() -> None:
    assert [checked_train_on(word) for word in get_args(TrainOn)] == ["process", "trainjob"]
    with pytest.raises(WinnowError, match="train_on: must be 'process' or 'trainjob', got 'gpu'"):
        checked_train_on("gpu")
