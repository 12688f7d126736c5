"""Recommendations of every user, or of those of a file, into Parquet files."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from winnow.local.running_stack import redis_url, release_folder, running
from winnow.local.stack_state import Predictor
from winnow.ports import LOOPBACK
from winnow.release import Release

LENGTH = 50
"""Items per user by default."""


def recommend_all(
    output: str,
    users: str | None,
    k: int | None,
    where: str | None,
    workers: int | None,
    predictor: Predictor,
    release_dir: Path | None,
    as_json: bool,
) -> None:
    """Compute the batch in ``output``, or the rest of it, and say what was done.

    Raises:
        WinnowError: no stack is running and none of its addresses is given, or the batch failed.
    """
    from winnow.batch.run import BatchOptions, run

    folder = release_folder(release_dir).resolve()
    release = Release.open(folder)
    repository = folder.parents[1] / "model_repository" / str(release.manifest.number)
    options = BatchOptions(
        release=release,
        predictor=repository if predictor == "embedded" else triton(),
        redis_url=redis_url(),
        output=output,
        k=k or LENGTH,
        where=where or "",
        users=users or "",
        workers=workers or 0,
    )
    outcome = run(options, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(asdict(outcome) | {"users_per_second": round(outcome.per_second, 1)}, indent=1))
        return
    said = [f"release {outcome.release}: {outcome.users:,} users in {outcome.parts:,} parts in {output}"]
    said.append(f"{outcome.computed:,} computed in {outcome.seconds:,.1f} s ({outcome.per_second:,.0f} users/s)")
    if outcome.skipped:
        said.append(f"{outcome.skipped:,} were there already")
    if outcome.left_out:
        said.append(f"{outcome.left_out:,} left out, erased or merged since the list was made")
    if outcome.degraded:
        said.append(f"{outcome.degraded:,} degraded answers: the same command computes their parts again")
    typer.echo("; ".join(said))


def triton() -> str:
    """The address in ``TRITON_URL``, or else that of the running stack's Triton."""
    return os.environ.get("TRITON_URL") or f"{LOOPBACK}:{running().ports.triton_grpc}"
