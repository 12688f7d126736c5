"""``winnow recommend`` and ``winnow lists``: recommendations of the running stack, now or computed beforehand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from winnow import home, release
from winnow.cli.objectives import parsed
from winnow.cli.options import Json, ReleaseDir
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url, release_folder, running
from winnow.ports import LOOPBACK
from winnow.request import MAX_K
from winnow.retrieval.offline_lists import EXPIRY_HOURS


def recommend(
    user: Annotated[
        str | None,
        typer.Argument(help="User id. An unknown user receives trending items.", show_default=False),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, max=MAX_K, help="Number of items. Default: 10.", show_default=False)
    ] = None,
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
    like: Annotated[str | None, typer.Option(metavar="ITEM", help="Items like this one.", show_default=False)] = None,
    relation: Annotated[
        str | None, typer.Option(help="With --like: similar or complementary.", show_default=False)
    ] = None,
    listed: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", help="popular, trending, new or last_seen.", show_default=False),
    ] = None,
    rank: Annotated[
        str | None, typer.Option(metavar="ITEM,ITEM", help="Rank these items, all by default.", show_default=False)
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="ITEM,ITEM", help="For a visitor of these items, oldest first.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print recommendations of the running stack.

    For a user or a visitor, similar to a text, an image, a sound or an item, or both; or a list, ranked or as it is.
    """
    from winnow import client
    from winnow.cli import show

    query: client.Instance = {} if text is None else {"text": text}
    query |= {name: client.encoded(_content(path)) for name, path in (("image", image), ("audio", audio)) if path}
    fields: dict[str, Any] = {
        "user_id": user,
        "k": k,
        "objectives": parsed(objective) if objective else None,
        "repeats": repeats,
        "like": like,
        "relation": relation,
        "list": listed,
        "rank": None if rank is None else rank.split(","),
        "items": None if session is None else [{"item_id": item_id} for item_id in session.split(",")],
    }
    request: client.Instance = {name: value for name, value in fields.items() if value is not None}
    if not query and not {"user_id", "like", "list", "rank", "items"} & set(request):
        options = "--text, --image, --audio, --like, --list, --rank or --session"
        raise WinnowError(f"nothing to recommend for: give a user id, or {options}")
    if query:
        request |= {"query": query, "deadline_ms": client.PATIENCE_MS}
    state = running()
    with client.http(state.ports.http, state.reached) as endpoint:
        [answer] = client.over_http_v1(endpoint, [request])
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
