"""``winnow report``: the report of an evaluation as one HTML file."""

from typing import Annotated

import typer

from winnow import home, release
from winnow.errors import WinnowError


def report(
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="N",
            min=1,
            help="The release. One that was built from all events has the report of the newest evaluated release of "
            "the same inputs. Default: the newest evaluated release.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the report of a release's evaluation, and print its path.

    The report is one HTML file without scripts, which needs no network: a verdict, the key figures beside the live
    release and the baselines with 95 % intervals, where the funnel loses, calibration, segments, the course of the
    training, drift of the data, and what the build took. `winnow evaluate` measures what it shows.
    """
    from winnow.reporting.page import write_report

    typer.echo(write_report(home.home(), evaluated(number)))


def evaluated(number: int | None) -> int:
    """The newest evaluated release, or that of the inputs of release ``number``.

    Raises:
        WinnowError: there is no such evaluation, or no such release.
    """
    from winnow.reporting.evaluated import evaluated, evaluation_of

    root = home.home()
    if number is None:
        wanted, asked = f"no release was evaluated in {root}", None
    else:
        wanted = f"no release of the inputs of release {number} was evaluated in {root}"
        asked = release.Release.open(home.releases() / str(number)).manifest
    among = evaluated(root)
    found = evaluation_of(asked, among) if asked else among[0].number if among else None
    if found is None:
        raise WinnowError(f"{wanted}: run `winnow evaluate` first")
    return found
