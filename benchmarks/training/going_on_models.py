"""The trainings of :mod:`benchmarks.training.going_on`, each a process of its own, on any machine with PyTorch.

``python -m benchmarks.training.going_on_models KIND FOLDER SEED``: the folder holds the feature sets ``first`` and
``whole``; the models and their cost are written into ``FOLDER/SEED/KIND``. ``on`` needs ``first``.
"""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import BaseModel

from tests.support.training.kept import kept_release
from winnow.settings.training import ComputeSettings, RankerSettings, RetrieverSettings, TrainingSettings
from winnow.training.incremental.train import go_on
from winnow.training.train import train_models

Kind = Literal["first", "full", "on"]
"""The release to go on from, all events in full, and all events going on from that release."""


class Cost(BaseModel):
    """What a training took: ``cpu_s`` processor seconds of all its threads, ``seconds`` of the clock."""

    cpu_s: float
    seconds: float
    cosine: float = 1.0


def train(
    kind: Kind,
    folder: Path,
    seed: int,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option()] = "auto",
) -> None:
    """Train one of the three, unless its models are there."""
    settings = TrainingSettings(
        retriever=RetrieverSettings(seed=seed),
        ranker=RankerSettings(seed=seed),
        compute=ComputeSettings(device=device),
    )
    first, whole, out = folder / "first", folder / "whole", folder / str(seed) / kind
    models = out / "retriever", out / "ranker"
    if (out / "cost.json").exists():
        return
    began, used, cosine = time.monotonic(), time.process_time(), 1.0
    if kind == "on":
        release, kept = kept_release(out.with_name("first"), first)
        began, used = time.monotonic(), time.process_time()
        cosine = go_on(whole, release, kept, *models, settings)[1].cosine
    else:
        train_models(first if kind == "first" else whole, *models, settings)
    cost = Cost(cpu_s=time.process_time() - used, seconds=time.monotonic() - began, cosine=cosine)
    (out / "cost.json").write_text(cost.model_dump_json(indent=1))
    typer.echo(f"{folder.name} {seed} {kind}: {cost}")


if __name__ == "__main__":
    typer.run(train)
