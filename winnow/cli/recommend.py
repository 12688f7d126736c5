"""``winnow recommend`` and ``winnow lists``: recommendations of the running stack, now or computed beforehand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.objectives import parsed
from winnow.cli.options import Json, ReleaseDir
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url, release_folder, running
from winnow.ports import LOOPBACK
from winnow.retrieval.offline_lists import EXPIRY_HOURS


def recommend(
    user: Annotated[
        str | None,
        typer.Argument(help="User id. An unknown user receives trending items.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Number of items.")] = 10,
    text: Annotated[str | None, typer.Option(help="Search by this text.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="Search by this image file.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="Search by this audio file.", show_default=False)] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=WEIGHT", help="Weight of an event type. Repeatable.", show_default=False),
    ] = None,
    repeats: Annotated[
        str | None,
        typer.Option(help="Seen items: hide, allow or demote. Default: the release's setting.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print recommendations of the running stack: for a user, similar to a text, an image or a sound, or both."""
    from winnow import protocols
    from winnow.cli import show

    query: protocols.Instance = {} if text is None else {"text": text}
    query |= {name: protocols.encoded(_content(path)) for name, path in (("image", image), ("audio", audio)) if path}
    if user is None and not query:
        raise WinnowError("nothing to recommend for: give a user id, or --text, --image or --audio")
    request: protocols.Instance = {"k": k}
    if user is not None:
        request["user_id"] = user
    if objective:
        request["objectives"] = parsed(objective)
    if repeats is not None:
        request["repeats"] = repeats
    if query:
        request |= {"query": query, "deadline_ms": protocols.PATIENCE_MS}
    state = running()
    with protocols.http(state.ports.http, state.reached) as endpoint:
        [answer] = protocols.over_http_v1(endpoint, [request])
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        show.answer(answer, release.Release.open(home.releases() / str(answer["release"])))


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


def _content(path: Path) -> bytes:
    from winnow.encoders import media

    return media.read(str(path))
