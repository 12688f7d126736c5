"""``winnow up``, ``winnow down`` and ``winnow demo``: run the stack on this machine."""

import sys
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.build import newest, run_build, source_of
from winnow.cli.options import (
    DEFAULTS,
    AccessFile,
    Data,
    Events,
    ExperimentsFile,
    Explore,
    Host,
    Items,
    PortBase,
    PredictorChoice,
    Users,
    WithExplorer,
)
from winnow.ports import DEFAULT_BASE, LOOPBACK, Ports, checked_host, reached_at
from winnow.settings.experiments import read


def up(
    number: Annotated[
        int | None,
        typer.Option(
            "--release",
            help="Number of the release. Default: the live release, and the newest where none was promoted.",
            show_default=False,
        ),
    ] = None,
    port_base: PortBase = DEFAULT_BASE,
    host: Host = LOOPBACK,
    predictor: PredictorChoice = "triton",
    explore: Explore = 0.0,
    experiments: ExperimentsFile = None,
    access: AccessFile = None,
    explorer: WithExplorer = True,
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background; `winnow down` stops it.")] = False,
) -> None:
    """Serve a release until Ctrl-C: start Redis, the predictor, Bloom sidecar, KServe transformer and the explorer.

    Serves the live release: the one that `winnow promote` named last. Where none was promoted, it serves the newest
    that was built for serving, and a newer one takes its place at the next start. `winnow promote` and `winnow
    rollback` move a running stack, whatever it was started with.
    """
    from winnow.lifecycle.live import live
    from winnow.local import background
    from winnow.local.infrastructure import explorer_address
    from winnow.local.stack import Stack

    pin = live(str(home.home())) if number is None else None
    chosen = number if number is not None else pin.release if pin is not None else newest().manifest.number
    if experiments:
        read(experiments, release.Release.open(home.releases() / str(chosen)).schema.events)
    if access:
        from winnow.cli.access.startup import check

        check(access)
    ports, host = Ports.at(port_base), checked_host(host)
    addresses = f"http://{host}:{ports.http} and grpc {host}:{ports.grpc}"
    addresses += f", explorer {explorer_address(ports)}" if explorer else ""
    if detach:
        state = background.detach(
            chosen,
            ports,
            host,
            predictor,
            explore,
            experiments,
            access,
            explorer=explorer,
            show_progress=sys.stderr.isatty(),
        )
        typer.echo(f"release {state.release} at {addresses}")
        return
    with Stack(
        chosen,
        ports,
        host=host,
        predictor=predictor,
        explore=explore,
        experiments=experiments,
        access=access,
        explorer=explorer,
        show_progress=sys.stderr.isatty(),
    ) as stack:
        typer.echo(f"release {chosen} at {addresses}; Ctrl-C stops it")
        stack.wait()


def down() -> None:
    """Stop the stack that `winnow up --detach` started."""
    from winnow.local import background

    state = background.down()
    typer.echo(f"stopped release {state.release}" if state else "no stack was running")


def demo(
    data: Data = None,
    items: Items = DEFAULTS.items,
    users: Users = DEFAULTS.users,
    events: Events = DEFAULTS.events,
    once: Annotated[bool, typer.Option("--once", help="Stop after the sample requests.")] = False,
    port_base: PortBase = DEFAULT_BASE,
    host: Host = LOOPBACK,
    predictor: PredictorChoice = "triton",
    explorer: WithExplorer = True,
) -> None:
    """Build a release of the data set unless there is one, serve it, and print sample recommendations."""
    from winnow.cli import show
    from winnow.local.infrastructure import explorer_address
    from winnow.local.stack import Stack

    source = source_of(data, items, users, events)
    ports, host = Ports.at(port_base), checked_host(host)
    served = release.latest(home.releases(), like=source) or run_build(source, "none")
    with Stack(
        served.manifest.number,
        ports,
        host=host,
        predictor=predictor,
        explorer=explorer and not once,
        show_progress=sys.stderr.isatty(),
    ) as stack:
        show.samples(served, ports, reached_at(host))
        show.queries(served, ports, reached_at(host))
        if not once:
            typer.echo(f"\nServing at http://{host}:{ports.http} and grpc {host}:{ports.grpc}; Ctrl-C stops it.")
            if explorer:
                typer.echo(f"See why, in a browser: {explorer_address(ports)}")
            stack.wait()
