"""Options and exit code of the commands that read exported impressions and events."""

from typing import Annotated

import typer

NO_CONCLUSION = 3
"""Exit code where the log says too little; the reasons are printed."""

Log = Annotated[
    str | None,
    typer.Option(
        help="Where `winnow events export` wrote: a folder or s3://bucket/prefix. Default: events/ in WINNOW_HOME.",
        show_default=False,
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        help="The reward: the value of an event type such as 'purchase', several separated by commas, 'conversion' "
        "for the types that are conversions, or 'any' for every type of positive value."
    ),
]
