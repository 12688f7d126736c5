"""``winnow promote`` and ``winnow rollback``: which release is live."""

import sys
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Annotated

import typer

from winnow import home
from winnow.cli.releases.gate import gate
from winnow.lifecycle import live

if TYPE_CHECKING:
    from winnow.lifecycle.live import Live


def promote(
    number: Annotated[int, typer.Argument(metavar="N", min=1, help="The release.")],
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Do not judge the release; its files are checked nevertheless.")
    ] = False,
) -> None:
    """Make release N the live one, which `winnow up` serves; the running stack moves to it without losing a request.

    `winnow gate N` judges the release first, with the rules of gate.yaml, and a release that does not pass stays as it
    is (exit code 3). Every file is checked against the manifest. The stack starts the release beside the one that it
    serves, and moves its ports when the new one gives whole recommendations; the one before runs on for ten minutes,
    so that `winnow rollback` takes effect within two seconds. If the release does not become ready, the old one stays
    live, and the command says why. Ctrl-C ends the command only: the stack goes on.
    """
    from winnow.local import stack_state

    root = str(home.home())
    if no_gate:
        typer.echo(f"release {number} is not judged by the gate (--no-gate)", err=True)
    else:
        gate(number)
    with changing():
        served = stack_state.running()
        if served is not None and live.live(root) is None:
            # Without a pin, the release that runs is what a rollback goes back to.
            live.promote(root, served.release)
        pin = live.promote(root, number)
    _follow(pin)


def rollback() -> None:
    """Make the previous release live again; the running stack moves back to it.

    Takes effect within two seconds while the previous release is still warm, which it is for ten minutes after a
    promotion; later the stack starts it first. Repeated, it goes further back. The release that was live stays in the
    home: `winnow promote` makes it live again.
    """
    with changing():
        pin = live.rollback(str(home.home()))
    _follow(pin)


def changing() -> AbstractContextManager[IO[str]]:
    """The lock of a command that changes which releases the home has, or which is live."""
    return home.held(
        home.run() / "releases.lock", "another command changes the releases of this home: wait until it has ended", 10.0
    )


def _follow(pin: "Live") -> None:
    """Wait until the home's stack serves the live release, and say what is live."""
    from winnow.local.background import followed

    state = followed(pin, show_progress=sys.stderr.isatty())
    before = "" if pin.previous is None else f"; `winnow rollback` goes back to {pin.previous}"
    if state is None:
        typer.echo(f"release {pin.release} is live{before}. No stack is running: `winnow up` serves it")
    else:
        typer.echo(f"release {pin.release} is live, and served at http://{state.host}:{state.ports.http}{before}")
