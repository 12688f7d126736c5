"""The pipelines' parameters: one definition for the compiled pipelines, the command line and ``--resume``.

kfp and typer both read a function's signature. :func:`takes` gives a pipeline the signature that the fields of
:class:`Parameters` make, with their docstring as the descriptions in the Kubeflow UI, and :func:`option` makes the
command line's options of the same fields.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar

import docstring_parser
import typer
from pydantic import Field
from pydantic.fields import FieldInfo

from winnow.encoders.settings import EncoderSettings
from winnow.errors import WinnowError
from winnow.release import BuildInputs, Holdout
from winnow.settings.business_rules import Rules
from winnow.settings.file import parse
from winnow.settings.training import TrainingSettings

Given = dict[str, Any]
"""Parameter -> value; while kfp compiles, a value is a placeholder."""

TrainOn = Literal["process", "trainjob"]
"""Where the models are trained."""

Returned = TypeVar("Returned")

_KINDS: dict[str, type] = {str(int): int, str(dict[str, str]): dict}
"""Type of a field -> type of the parameter that kfp knows, where that is not ``str``."""


class Parameters(BuildInputs):
    """The parameters of a pipeline.

    Attributes:
        data: folder, ``s3://`` or ``glue://`` address; empty generates the demo marketplace.
        items: items of the marketplace.
        users: users of the marketplace.
        events: events of the marketplace.
        seed: seed of the marketplace.
        encoders: which encoders, as YAML or JSON; empty trains winnow-tiny for every modality.
        training: training settings, as YAML or JSON (docs/training.md); empty for the defaults.
        rules: business rules, as the YAML or JSON of ``rules.yaml`` (docs/rules.md); empty for none.
        from_release: the release to go on from; 0 takes the live one.
        home: folder or ``s3://`` address that holds ``releases/`` and ``model_repository/``, and gets the release.
        holdout: ``last`` keeps the end of every user's log out, for evaluation; ``none`` keeps all.
        embeddings: folder or ``s3://`` address that keeps embeddings by content from run to run; empty keeps none, on
            a command line those under WINNOW_HOME.
        triton: ``host:port`` of a Triton that serves the encoders, to embed with; empty embeds in the step's process.
        output: Parquet file, local or ``s3://``, that gets every item's embeddings; empty writes none.
        point_in_time: folder or ``s3://`` address that ``python -m winnow.features.spark`` wrote; empty computes the
            same in the step.
        profile: folder that gets traces of a few training steps; empty writes none.
        gate: what must hold of a release, as the YAML or JSON of ``gate.yaml`` (docs/gate.md); empty for the defaults.
        train_on: ``process`` trains in the step's process; ``trainjob`` launches a TrainJob of Kubeflow Trainer on GPU
            nodes and waits for it, which needs a pipeline root on S3.
        nodes: nodes of the TrainJob.
        gpus: GPUs of each of its nodes.
        hours: time limit of the TrainJob, in hours from its creation.
        step_cpu: CPUs that each step's pod requests, such as ``3`` or ``500m``.
        step_memory: memory that each step's pod requests and may use, such as ``12Gi``.
        step_gpus: GPUs of the pods of the steps encode and train; ``0`` for none.
        data_nodes: labels of the nodes for the other steps, as a JSON object; ``{}`` allows every node.
        model_nodes: labels of the nodes for the steps encode and train; with GPUs ``{"winnow/pool": "training"}``.
    """

    home: str
    holdout: Holdout = "none"
    embeddings: str = ""
    triton: str = ""
    output: str = ""
    point_in_time: str = ""
    profile: str = ""
    gate: str = ""
    train_on: TrainOn = "process"
    nodes: int = 1
    gpus: int = 1
    hours: int = 24
    # Quantities are strings, because Kubeflow Pipelines reads no numbers there; three CPUs fit on a node of four.
    step_cpu: str = "3"
    step_memory: str = "12Gi"
    step_gpus: str = "0"
    data_nodes: dict[str, str] = Field(default={"winnow/pool": "cpu"})
    model_nodes: dict[str, str] = Field(default={"winnow/pool": "cpu"})


PLACEMENT = ("step_cpu", "step_memory", "step_gpus", "data_nodes", "model_nodes")
"""Parameters of the steps' pods."""

TRAIN_JOB = ("train_on", "nodes", "gpus", "hours")
"""Parameters of a TrainJob."""

_ALL = tuple(name for name in Parameters.model_fields if name != "from_release")
BUILD = tuple(name for name in _ALL if name not in ("gate", *TRAIN_JOB, *PLACEMENT))
INCREMENTAL = ("from_release", *(name for name in BUILD if name not in ("encoders", "training")))
FEATURE_EXTRACTION = tuple(name for name in _ALL if name not in ("home", "profile", "gate", "rules", *TRAIN_JOB))
# A pod's folder for traces would be gone with it, and the pipeline itself builds with and without a hold-out.
RETRAINING = tuple(name for name in _ALL if name not in ("profile", "holdout"))


def checked_train_on(word: str) -> TrainOn:
    """Parse the place to train on.

    Raises:
        WinnowError: ``word`` is neither ``process`` nor ``trainjob``.
    """
    if word == "process":
        return "process"
    if word == "trainjob":
        return "trainjob"
    raise WinnowError(f"train_on: must be 'process' or 'trainjob', got {word!r}")


def takes(names: Iterable[str]) -> Callable[[Callable[[Given], Returned]], Callable[..., Returned]]:
    """Give a pipeline's definition the parameters of these names; the definition gets them as one :data:`Given`.

    Args:
        names: fields of :class:`Parameters`.
    """
    ordered = sorted(names, key=lambda name: not Parameters.model_fields[name].is_required())
    documented = {name: _description(name) for name in ordered}

    def decorate(definition: Callable[[Given], Returned]) -> Callable[..., Returned]:
        @functools.wraps(definition)
        def pipeline(*values: Any) -> Returned:
            return definition(dict(zip(ordered, values, strict=True)))

        returned = inspect.signature(definition).return_annotation
        parameters = [_parameter(name, _KINDS.get(str(_field(name).annotation), str)) for name in ordered]
        pipeline.__signature__ = inspect.Signature(parameters, return_annotation=returned)  # type: ignore[attr-defined]
        described = "\n".join(f"    {name}: {text}" for name, text in documented.items())
        pipeline.__doc__ = f"{inspect.getdoc(definition)}\n\nArgs:\n{described}\n"
        return pipeline

    return decorate


def inputs(step: Any, given: Given, **others: Any) -> Given:
    """A step's inputs: the pipeline's parameters that it names, and others.

    Args:
        step: a component or pipeline of kfp.
        given: the pipeline's parameters.
        others: artefacts of the steps before, and parameters that the step names otherwise.
    """
    return {name: value for name, value in given.items() if name in step.component_spec.inputs} | others


def option(name: str) -> inspect.Parameter:
    """A parameter as an option of the command line.

    Args:
        name: a field of :class:`Parameters`.
    """
    return _parameter(name, Annotated[_field(name).annotation, typer.Option(help=_description(name))])


def check_settings(given: Given) -> None:
    """Refuse wrong settings before any step starts.

    Raises:
        WinnowError: the text of ``encoders``, ``training`` or ``rules`` is wrong.
    """
    EncoderSettings.parse(given.get("encoders", ""), "encoders")
    parse(TrainingSettings, given.get("training", ""), "training")
    # Their filters are checked once the columns are known.
    parse(Rules, given.get("rules", ""), "rules")


def _field(name: str) -> FieldInfo:
    return Parameters.model_fields[name]


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if _field(name).is_required() else _field(name).default
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _description(name: str) -> str:
    documented = docstring_parser.parse(inspect.getdoc(Parameters) or "").params
    text = next(param.description for param in documented if param.arg_name == name)
    plain = " ".join((text or "").replace("``", "").split())
    return plain[:1].upper() + plain[1:]
