"""Train a release's models in one process or, with torchrun, in many.

On this machine: python -m winnow.training --features FEATURES --retriever OUT1 --ranker OUT2

On two GPUs: torchrun --nproc-per-node 2 -m winnow.training ... --checkpoints s3://bucket/prefix

A process that ends is started again by torchrun (--max-restarts), and the training goes on from the newest checkpoint,
also with another number of processes. The retriever is trained by all of them; the tables and the ranker, whose
training lists are bounded by the settings, by the first.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from winnow import files
from winnow.errors import WinnowError
from winnow.features.table import FeatureSet
from winnow.settings.file import load
from winnow.settings.training import TrainingSettings
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.ranks import Ranks, joined
from winnow.training.retriever.train import train_retriever
from winnow.training.train import RESULT, complete

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def run(
    features: Annotated[str, typer.Option(help="Folder or s3:// address of the feature set.")],
    retriever: Annotated[str, typer.Option(help="Folder or s3:// address to write the retriever and the result to.")],
    ranker: Annotated[str, typer.Option(help="Folder or s3:// address to write the ranker to.")],
    settings: Annotated[str, typer.Option(help="Training settings, a YAML file; empty for the defaults.")] = "",
    checkpoints: Annotated[str, typer.Option(help="Folder or s3:// address of checkpoints; empty keeps none.")] = "",
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Time between two checkpoints.")] = 5.0,
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints kept.")] = 2,
    profile: Annotated[Path | None, typer.Option(help="Folder for traces of a few steps of each loop.")] = None,
) -> None:
    """Train, with the other processes of torchrun if there are any."""
    try:
        with tempfile.TemporaryDirectory(prefix="winnow-training-") as scratch, ExitStack() as inputs:
            chosen = TrainingSettings()
            if settings:
                chosen = load(TrainingSettings, _fetched(settings, Path(scratch) / "settings.yaml"))
            with joined(chosen.compute) as ranks:
                arrays = inputs.enter_context(_reachable(features, ranks))
                extracted = FeatureSet.load(arrays)
                kept = _checkpoints(checkpoints, chosen, extracted, checkpoint_minutes, keep, ranks)
                first = ranks.rank == 0
                retrieval = train_retriever(extracted, chosen.retriever, first, chosen.compute, ranks, kept, profile)
            # The process group has ended: the others need not wait for the first.
            if first:
                with _written(retriever, Path(scratch)) as out, _written(ranker, Path(scratch)) as ranker_out:
                    result = complete(arrays, extracted, retrieval, out, ranker_out, chosen, True, profile)
                if kept is not None:
                    kept.discard()
                typer.echo(result.model_dump_json(indent=1))
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None


def _checkpoints(
    address: str, settings: TrainingSettings, features: FeatureSet, minutes: float, keep: int, ranks: Ranks
) -> Checkpoints | None:
    if not address:
        return None
    log = features.interactions
    data = f"{features.schema.digest} {features.as_of} {features.items} {log.users} {len(log.item)}"
    return Checkpoints(address, f"{settings.retriever.model_dump_json()} {data}", minutes, keep, ranks)


def _fetched(address: str, path: Path) -> Path:
    """A file of this machine: the one at a local address, or a copy of the object on S3."""
    if not address.startswith(files.S3):
        return Path(address)
    path.write_bytes(files.read(address))
    return path


@contextmanager
def _reachable(address: str, ranks: Ranks) -> Iterator[Path]:
    """A folder of this machine: the one at a local address, or a copy of the objects on S3 that its processes share."""
    if not address.startswith(files.S3):
        yield Path(address)
        return
    # torchrun is the parent of all processes of a machine; one that is alone has the copy to itself.
    owner = os.getppid() if "LOCAL_RANK" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"winnow-training-inputs-{owner}"
    fetches = os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        if fetches:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            _download(address, folder)
        ranks.barrier()
        yield folder
    finally:
        if fetches:
            shutil.rmtree(folder, ignore_errors=True)


def _download(address: str, folder: Path) -> None:
    found = files.walk(address)
    if not found:
        raise WinnowError(f"{address} has no objects: write the step's output there before the training starts")
    for one in found:
        path = folder / one.removeprefix(address.rstrip("/") + "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        files.download(one, path)


@contextmanager
def _written(address: str, scratch: Path) -> Iterator[Path]:
    """A folder to write; at the end, its files are copied to S3 if the address is there, the result last."""
    if not address.startswith(files.S3):
        yield Path(address)
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)
        for path in sorted(Path(folder).rglob("*"), key=lambda path: path.name == RESULT):
            if path.is_file():
                files.upload(path, files.inside(address, path.relative_to(folder).as_posix()))


if __name__ == "__main__":
    app()
