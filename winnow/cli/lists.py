"""``winnow lists``: recommendations computed beforehand, on the running stack."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from winnow.cli.options import ReleaseDir
from winnow.local.running_stack import redis_url, release_folder, running
from winnow.ports import LOOPBACK
from winnow.store.offline_lists import EXPIRY_HOURS


def lists(
    active_days: Annotated[
        int | None,
        typer.Option(min=1, help="Only users with an event in the last days of the log.", show_default=False),
    ] = None,
    hours: Annotated[int, typer.Option(min=1, help="Hours after which the lists expire.")] = EXPIRY_HOURS,
    release_dir: ReleaseDir = None,
) -> None:
    """Compute a list for every user with a history, by the funnel of the running stack.

    Lists are candidates of the source `offline`, and what users get when the models are away. They are used from half a
    minute after the first is written, until they expire. An interrupted computation continues when it is run again.
    """
    triton = os.environ.get("TRITON_URL") or f"{LOOPBACK}:{running().ports.triton_grpc}"
    command = [sys.executable, "-P", "-m", "recommender_transformer.lists", f"--predictor_host={triton}"]
    command += [f"--release-dir={release_folder(release_dir)}", f"--hours={hours}"]
    if active_days is not None:
        command.append(f"--active-days={active_days}")
    # Not on the command line, which other users can list: the address may contain a password.
    done = subprocess.run(command, env={**os.environ, "REDIS_URL": redis_url()})  # noqa: S603
    raise typer.Exit(done.returncode)
