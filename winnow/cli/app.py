"""The entry point of the ``winnow`` command."""

import typer

from winnow import proxies
from winnow.cli import events, filters, items
from winnow.cli.access import keys
from winnow.cli.analysis import experiment
from winnow.cli.analysis.off_policy import off_policy
from winnow.cli.build import build
from winnow.cli.evaluate import evaluate
from winnow.cli.explorer.serving import explorer
from winnow.cli.live import rules
from winnow.cli.live.objectives import objectives
from winnow.cli.migrate import imports
from winnow.cli.plan import plan
from winnow.cli.recommend import lists, recommend
from winnow.cli.releases.diff import diff
from winnow.cli.releases.gate import gate
from winnow.cli.releases.listing import releases
from winnow.cli.releases.promote import promote, rollback
from winnow.cli.releases.report import report
from winnow.cli.releases.trigger import trigger
from winnow.cli.serve import demo, down, up
from winnow.cli.skew import skew
from winnow.cli.users import commands as users
from winnow.errors import WinnowError, as_winnow_error

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # reflows docstrings to the width of the terminal
    help="Build, serve and evaluate a multistage, multimodal recommender. All files are in WINNOW_HOME (default: "
    ".winnow).",
)
for command in (
    *(demo, build, up, down, explorer, recommend, objectives, lists),
    *(evaluate, report, gate, promote, rollback, releases, diff),
    *(off_policy, skew, plan, trigger),
):
    commands.command()(command)
commands.add_typer(items.commands, name="items")
commands.add_typer(events.commands, name="events")
commands.add_typer(keys.commands, name="access")
commands.add_typer(imports.commands, name="import")
commands.add_typer(filters.commands, name="filters")
commands.add_typer(users.commands, name="users")
commands.add_typer(experiment.commands, name="experiment")
commands.add_typer(rules.commands, name="rules")


def app() -> None:
    """Run the command; an error that the user can fix is printed as one message, with its exit code."""
    proxies.bypass_loopback()
    try:
        commands()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (WinnowError, OSError) as error:
        shown = as_winnow_error(error)
        if shown is None:
            raise
        typer.echo(f"winnow: {shown}", err=True)
        raise SystemExit(shown.exit_code) from None
