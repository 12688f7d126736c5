"""``winnow recommend``: request recommendations from the running stack."""

import json
from pathlib import Path
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.objectives import parsed
from winnow.cli.options import Json
from winnow.errors import WinnowError
from winnow.local.running_stack import running


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
    from winnow import client
    from winnow.cli import show

    query: client.Instance = {} if text is None else {"text": text}
    query |= {name: client.encoded(_content(path)) for name, path in (("image", image), ("audio", audio)) if path}
    if user is None and not query:
        raise WinnowError("nothing to recommend for: give a user id, or --text, --image or --audio")
    request: client.Instance = {"k": k}
    if user is not None:
        request["user_id"] = user
    if objective:
        request["objectives"] = parsed(objective)
    if repeats is not None:
        request["repeats"] = repeats
    if query:
        request |= {"query": query, "deadline_ms": client.PATIENCE_MS}
    state = running()
    with client.http(state.ports.http, state.reached) as endpoint:
        [answer] = client.over_http_v1(endpoint, [request])
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        show.answer(answer, release.Release.open(home.releases() / str(answer["release"])))


def _content(path: Path) -> bytes:
    from winnow.encoders import media

    return media.read(str(path))
