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
from pydantic.fields import FieldInfo

from winnow.encoders.settings import EncoderSettings
from winnow.errors import WinnowError
from winnow.release import BuildInputs, Holdout
from winnow.settings.file import parse
from winnow.settings.training import TrainingSettings

Given = dict[str, Any]
"""Parameter -> value; while kfp compiles, a value is a placeholder."""

TrainOn = Literal["process", "trainjob"]
"""Where the models are trained."""

Returned = TypeVar("Returned")


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
        from_release: the release to go on from; 0 takes the live one.
        home: folder that holds ``releases/`` and ``model_repository/``.
        holdout: ``last`` keeps the end of every user's log out, for evaluation; ``none`` keeps all.
        embeddings: folder or ``s3://`` address that keeps embeddings by content from run to run; empty keeps none, on
            a command line those under WINNOW_HOME.
        triton: ``host:port`` of a Triton that serves the encoders, to embed with; empty embeds in the step's process.
        output: Parquet file, local or ``s3://``, that gets every item's embeddings; empty writes none.
        point_in_time: folder or ``s3://`` address that ``python -m winnow.features.spark`` wrote; empty computes the
            same in the step.
        profile: folder that gets traces of a few training steps; empty writes none.
        train_on: ``process`` trains in the step's process; ``trainjob`` launches a TrainJob of Kubeflow Trainer on GPU
            nodes and waits for it, which needs a pipeline root on S3.
        nodes: nodes of the TrainJob.
        gpus: GPUs of each of its nodes.
        hours: time limit of the TrainJob, in hours from its creation.
    """

    home: str
    holdout: Holdout = "none"
    embeddings: str = ""
    triton: str = ""
    output: str = ""
    point_in_time: str = ""
    profile: str = ""
    train_on: TrainOn = "process"
    nodes: int = 1
    gpus: int = 1
    hours: int = 24


TRAIN_JOB = ("train_on", "nodes", "gpus", "hours")
"""Parameters that only a cluster can use, so that the command line lacks them."""

RETRAINING = tuple(name for name in Parameters.model_fields if name != "from_release")
INCREMENTAL = tuple(name for name in Parameters.model_fields if name not in ("encoders", "training", *TRAIN_JOB))
FEATURE_EXTRACTION = tuple(name for name in RETRAINING if name not in ("home", "profile", *TRAIN_JOB))


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
        parameters = [_parameter(name, int if _field(name).annotation is int else str) for name in ordered]
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
        WinnowError: the text of ``encoders`` or ``training`` is wrong.
    """
    EncoderSettings.parse(given.get("encoders", ""), "encoders")
    parse(TrainingSettings, given.get("training", ""), "training")


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
