"""``python -m kfp_pipelines.rollout --release N``: give a release to the users of a cluster, in steps, or take it back.

A canary chain of the release gets 5, 25, 50 and 100 % of the users. In each step Prometheus' figures of it are compared
with the stable chain's: failures, degraded responses, latency, liked events per recommendation. Worse: the routes lead
back at once, and the canary is removed. As good through all steps: the stable chain gets the release.

The state is in the routes, so this may be ended (Ctrl-C) and continued at any time, on another machine too: until then
the share of the users stays. `--stop` goes back. See kserve_manifests/README.md.
"""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from kfp_pipelines.rollout.controller import roll_out, stop
from kfp_pipelines.rollout.lease import Held
from kfp_pipelines.rollout.settings import Place, RolloutSettings
from winnow.errors import WinnowError
from winnow.proxies import bypass_loopback
from winnow.settings.file import load

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_DEFAULT = Place()

Release = Annotated[int | None, typer.Option(help="Number of the release; its files are in the chains' bucket.", min=1)]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="YAML file of steps, times and bounds.")]
Stop = Annotated[str | None, typer.Option("--stop", help="Go back to the stable chain, for this reason.")]
Namespace = Annotated[str, typer.Option(help="Namespace of the chains.")]
Address = Annotated[str, typer.Option(help="Address of Prometheus.")]


@app.command(help=__doc__)
def main(
    release: Release = None,
    settings: SettingsFile = None,
    stop_reason: Stop = None,
    namespace: Namespace = _DEFAULT.namespace,
    prometheus: Address = _DEFAULT.prometheus,
) -> None:
    """Roll a release out, continue to, or stop."""
    signal.signal(signal.SIGTERM, _end)
    place = Place(namespace=namespace, prometheus=prometheus)
    try:
        bounds = load(RolloutSettings, settings) if settings else RolloutSettings()
        if stop_reason is not None:
            release = stop(place, stop_reason).release
        if release is None:
            raise typer.BadParameter("give the number of a release (--release 8), or --stop REASON")
        roll_out(release, place, bounds, show=_show)
    except Held as held:
        if stop_reason is None:
            raise typer.Exit(_fail(held)) from held
        _show(f"the process that rolls release {release} out reverts it")
    except WinnowError as error:
        raise typer.Exit(_fail(error)) from error


def _fail(error: WinnowError) -> int:
    typer.echo(f"winnow: {error}", err=True)
    return error.exit_code


def _show(line: str) -> None:
    typer.echo(f"winnow: {line}")


def _end(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM, by which Kubernetes ends a pod, give the lease back as Ctrl-C does."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    bypass_loopback()
    app()
