"""Runs a compiled pipeline as a cluster does: each step a process in a folder of its own, artefacts only through S3.

It follows what Kubeflow Pipelines' driver and launcher do (``backend/src/v2``): inputs and conditions are resolved from
the package, a step's result is reused where image, command, parameters and input artefacts are the same, and the
launcher copies artefacts between the object store and the pod.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.adapter import json_to_cel

from winnow import files

# kfp's executor maps s3:// to /s3/, where the launcher of a pod puts the artefacts; here each pod has a folder.
_PYTHON = """#!/bin/sh
exec {python} -c '
import runpy, sys
from kfp.dsl.types import artifact_types
artifact_types._S3_LOCAL_MOUNT_PREFIX = "{mount}"
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
' "$@"
"""


class StepFailed(Exception):
    """A step failed; the message has the end of its log."""


@dataclass
class Run:
    """What a run did: the steps that ran, that the cache had, and that a condition left out."""

    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Values:
    """Parameters, and artefacts as kfp's runtime describes them."""

    parameters: dict[str, Any]
    artifacts: dict[str, dict[str, Any]]


class Cluster:
    """A cluster with a pipeline root.

    Args:
        root: ``s3://`` address of the artefacts.
        folder: for the pods.
    """

    def __init__(self, root: str, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._cache: dict[str, _Values] = {}
        self._runs = 0

    def run(self, package: Path, **arguments: Any) -> Run:
        """Run a package.

        Args:
            package: as ``kfp dsl compile`` writes it.
            arguments: the pipeline's parameters.

        Raises:
            StepFailed: a step failed.
        """
        self._runs += 1
        with package.open() as file:
            spec = next(iter(yaml.load_all(file, yaml.CSafeLoader)))
        run = Run()
        _Execution(self, spec, run, f"{self._root}/run-{self._runs}").dag(spec["root"], arguments, {}, "")
        return run


class _Execution:
    def __init__(self, cluster: Cluster, spec: Mapping[str, Any], run: Run, root: str) -> None:
        self._cluster, self._spec, self._run, self._root = cluster, spec, run, root

    def dag(
        self, component: Mapping[str, Any], parameters: Mapping[str, Any], artifacts: dict[str, Any], within: str
    ) -> None:
        """Run the tasks of a DAG; its own outputs are not needed by these pipelines."""
        defined = component.get("inputDefinitions", {}).get("parameters", {})
        given = {name: one["defaultValue"] for name, one in defined.items() if "defaultValue" in one}
        inputs = _Values(given | dict(parameters), artifacts)
        tasks = component["dag"]["tasks"]
        done: dict[str, _Values] = {}
        for name in TopologicalSorter(
            {one: task.get("dependentTasks", []) for one, task in tasks.items()}
        ).static_order():
            task, label = tasks[name], f"{within}{name}"
            values = _resolved(task, inputs, done)
            condition = task.get("triggerPolicy", {}).get("condition")
            of_task = self._spec["components"][task["componentRef"]["name"]]
            if condition and not _holds(condition, values.parameters):
                self._run.skipped.append(label)
            elif "dag" in of_task:
                self.dag(of_task, values.parameters, values.artifacts, f"{label}/")
            else:
                done[name] = self._step(label, task, of_task, values)
                self._run.outputs[label] = done[name].parameters

    def _step(self, label: str, task: Mapping[str, Any], component: Mapping[str, Any], values: _Values) -> _Values:
        container = self._spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        addresses = {name: artifact["uri"] for name, artifact in values.artifacts.items()}
        key = hashlib.sha256(json.dumps([container, values.parameters, addresses], sort_keys=True).encode()).hexdigest()
        if task.get("cachingOptions", {}).get("enableCache") and key in self._cluster._cache:
            self._run.cached.append(label)
            return self._cluster._cache[key]
        self._run.ran.append(label)
        print(label, flush=True)
        with tempfile.TemporaryDirectory(dir=self._cluster._folder) as pod:
            self._cluster._cache[key] = _Pod(Path(pod)).run(
                label, container, component, values, f"{self._root}/{label}"
            )
        return self._cluster._cache[key]


class _Pod:
    """A step's process and folder.

    Args:
        folder: empty; it is all that the process has.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._mount = folder, folder / "s3"
        for name in ("bin", "tmp", "work"):
            (folder / name).mkdir()
        python = folder / "bin" / "python3"
        python.write_text(_PYTHON.format(python=sys.executable, mount=f"{self._mount}/"))
        python.chmod(0o755)

    def run(
        self,
        label: str,
        container: Mapping[str, Any],
        component: Mapping[str, Any],
        values: _Values,
        place: str,
    ) -> _Values:
        defined = component.get("outputDefinitions", {})
        outputs = {
            name: {"name": name, "type": one["artifactType"], "uri": f"{place}/{name}", "metadata": {}}
            for name, one in defined.get("artifacts", {}).items()
        }
        result = self._folder / "output_metadata.json"
        given = {
            "inputs": {
                "parameterValues": values.parameters,
                "artifacts": {name: {"artifacts": [one]} for name, one in values.artifacts.items()},
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": str(self._folder / "outputs" / name)} for name in defined.get("parameters", {})
                },
                "artifacts": {name: {"artifacts": [one]} for name, one in outputs.items()},
                "outputFile": str(result),
            },
        }
        for artifact in values.artifacts.values():
            self._download(artifact["uri"])
        command = [*container["command"], *container["args"]]
        ended = subprocess.run(
            [json.dumps(given) if part == "{{$}}" else part for part in command],
            cwd=self._folder / "work",
            env=os.environ
            | {
                "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
                "HOME": str(self._folder / "tmp"),
                "TMPDIR": str(self._folder / "tmp"),
                "WINNOW_HOME": str(self._folder / "tmp" / "winnow"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        if ended.returncode:
            raise StepFailed(f"{label}: {ended.stdout[-4000:]}")
        said = json.loads(result.read_text()) if result.exists() else {}
        for name, one in said.get("artifacts", {}).items():
            outputs[name]["metadata"] = one["artifacts"][0].get("metadata", {})
        for artifact in outputs.values():
            path = self._local(artifact["uri"])
            for file in _files(path):
                files.upload(file, artifact["uri"] if file == path else f"{artifact['uri']}/{file.relative_to(path)}")
        return _Values(said.get("parameterValues", {}), outputs)

    def _local(self, uri: str) -> Path:
        return self._mount / uri.removeprefix(files.S3)

    def _download(self, uri: str) -> None:
        for address in files.walk(uri) or [uri]:
            path = self._local(address)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Metrics are metadata without a file.
            with suppress(files.FileMissing):
                files.download(address, path)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    yield from (one for one in path.rglob("*") if one.is_file())


def _resolved(task: Mapping[str, Any], inputs: _Values, done: Mapping[str, _Values]) -> _Values:
    """The inputs of a task."""
    given = task.get("inputs", {})
    parameters: dict[str, Any] = {}
    for name, source in given.get("parameters", {}).items():
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            parameters[name] = done[output["producerTask"]].parameters[output["outputParameterKey"]]
        elif "componentInputParameter" in source:
            parameters[name] = inputs.parameters[source["componentInputParameter"]]
        else:
            parameters[name] = source["runtimeValue"]["constant"]
    # A package has numbers as floats; the driver passes whole ones as integers.
    parameters = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in parameters.items()
    }
    artifacts = {}
    for name, source in given.get("artifacts", {}).items():
        if "taskOutputArtifact" in source:
            output = source["taskOutputArtifact"]
            artifacts[name] = done[output["producerTask"]].artifacts[output["outputArtifactKey"]]
        else:
            artifacts[name] = inputs.artifacts[source["componentInputArtifact"]]
    return _Values(parameters, artifacts)


def _holds(condition: str, parameters: Mapping[str, Any]) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(condition))
    return bool(program.evaluate({"inputs": json_to_cel({"parameter_values": dict(parameters)})}))
