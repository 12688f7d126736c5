"""``winnow recommend`` and ``winnow lists``: recommendations of the running stack, now or computed beforehand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from winnow import home, release
from winnow.cli.batch.everyone import recommend_all, triton
from winnow.cli.live.objectives import parsed
from winnow.cli.options import Json, ReleaseDir
from winnow.errors import WinnowError
from winnow.local.running_stack import redis_url, release_folder, running
from winnow.local.stack_state import Predictor
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
    where: Annotated[
        str | None, typer.Option(metavar="FILTER", help="A condition on the items.", show_default=False)
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="For all users, into Parquet files. -k is 50.")] = False,
    output: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="With --all: a folder, local or s3://.", show_default=False),
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --all: only the users of this file, local or s3://: Parquet or CSV with a column user_id, or a "
            "text file with an id per line.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="With --all: processes. Default: one per core.", show_default=False),
    ] = None,
    predictor: Annotated[
        Predictor | None,
        typer.Option(help="With --all: what computes the models. Default: embedded.", show_default=False),
    ] = None,
    release_dir: ReleaseDir = None,
    as_json: Json = False,
) -> None:
    """Print recommendations of the running stack.

    For a user or a visitor, similar to a text, an image, a sound or an item, or both; or a list, ranked or as it is.
    With --all, write those of all users to --output. A run that was interrupted continues when it is repeated.
    """
    from winnow import protocols
    from winnow.cli import show

    if everyone:
        given = (user, text, image, audio, objective, repeats, like, relation, listed, rank, session)
        if any(value is not None for value in given):
            raise WinnowError("--all takes -k, --where, --users, --workers, --predictor and --release-dir only")
        if output is None:
            raise WinnowError("--all needs --output FOLDER, a folder or an s3:// address")
        recommend_all(output, users, k, where, workers, predictor or "embedded", release_dir, as_json)
        return
    of_all = {"output": output, "users": users, "workers": workers, "predictor": predictor, "release-dir": release_dir}
    if wrong := [f"--{name}" for name, value in of_all.items() if value is not None]:
        raise WinnowError(f"{wrong[0]} is an option of --all")
    query: protocols.Instance = {} if text is None else {"text": text}
    query |= {name: protocols.encoded(_content(path)) for name, path in (("image", image), ("audio", audio)) if path}
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
        "filters": None if where is None else {"where": where},
    }
    request: protocols.Instance = {name: value for name, value in fields.items() if value is not None}
    if not query and not {"user_id", "like", "list", "rank", "items"} & set(request):
        options = "--text, --image, --audio, --like, --list, --rank or --session"
        raise WinnowError(f"nothing to recommend for: give a user id, or {options}")
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
    command = [sys.executable, "-P", "-m", "recommender_transformer.lists", f"--predictor_host={triton()}"]
    command += [f"--release-dir={release_folder(release_dir)}", f"--hours={hours}"]
    if active_days is not None:
        command.append(f"--active-days={active_days}")
    # Not on the command line, which other users can list: the address may contain a password.
    done = subprocess.run(command, env={**os.environ, "REDIS_URL": redis_url()})  # noqa: S603
    raise typer.Exit(done.returncode)


def _content(path: Path) -> bytes:
    from winnow.encoders import media

    return media.read(str(path))
