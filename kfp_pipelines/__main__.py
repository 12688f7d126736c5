"""``python -m kfp_pipelines NAME``: run a pipeline's own definition, the one the cluster runs, on this machine."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from kfp_pipelines.build import build
from kfp_pipelines.feature_extraction import feature_extraction
from kfp_pipelines.incremental import incremental
from kfp_pipelines.parameters import BUILD, FEATURE_EXTRACTION, INCREMENTAL, PLACEMENT, Given, option
from kfp_pipelines.running import run
from winnow import home
from winnow.proxies import bypass_loopback

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Resume = Annotated[bool, typer.Option("--resume", help="Continue after the last whole step of the unfinished run.")]


def _command(action: Callable[[Given], None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """A command that passes its options on as one mapping."""

    def command(**given: Any) -> None:
        given["embeddings"] = given["embeddings"] or str(home.embeddings())
        action(given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = action.__doc__
    return command


def _extract(given: Given) -> None:
    """Validate the data, embed the items, compute the features."""
    run(feature_extraction, **given)


def _build(given: Given) -> None:
    """From data to the next release; prints its number."""
    run(build, home=str(home.home()), **given)


def _go_on(given: Given) -> None:
    """From a release and newer data to the next release; prints its number."""
    run(incremental, home=str(home.home()), **given)


_resume = inspect.Parameter("resume", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=Resume)
_extraction = [option(name) for name in FEATURE_EXTRACTION if name not in PLACEMENT]
app.command("feature-extraction")(_command(_extract, _extraction))
app.command("build")(_command(_build, [*(option(name) for name in BUILD if name != "home"), _resume]))
app.command("incremental")(_command(_go_on, [*(option(name) for name in INCREMENTAL if name != "home"), _resume]))


if __name__ == "__main__":
    bypass_loopback()
    app()
