"""``python -m kfp_pipelines NAME``: run a pipeline's own definition, the one the cluster runs, on this machine."""

import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from kfp import local

from kfp_pipelines.feature_extraction import feature_extraction
from kfp_pipelines.retraining import retraining
from kfp_pipelines.screen import Screen
from winnow import errors, home
from winnow.proxies import bypass_loopback

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Data = Annotated[str, typer.Option(help="Folder, s3:// or glue:// address; empty generates the demo marketplace.")]
Holdout = Annotated[Literal["none", "last"], typer.Option(help="Keep every user's last event out, for evaluation.")]
Items = Annotated[int, typer.Option(help="Items of the marketplace.")]
Users = Annotated[int, typer.Option(help="Users of the marketplace.")]
Events = Annotated[int, typer.Option(help="Events of the marketplace.")]
Seed = Annotated[int, typer.Option(help="Seed of the marketplace.")]
Encoders = Annotated[str, typer.Option(help="Which encoders, as YAML or JSON; empty trains winnow-tiny.")]
Embeddings = Annotated[
    str, typer.Option(help="Folder or s3:// address that keeps embeddings by content; default: under WINNOW_HOME.")
]
EmbeddingsTo = Annotated[str, typer.Option(help="Parquet file, local or s3://, that gets every item's embeddings.")]
Computed = Annotated[
    str, typer.Option(help="Folder or s3:// address that python -m winnow.features.spark wrote; empty: computed here.")
]
EncodeWith = Annotated[str, typer.Option("--triton", help="host:port of a Triton to embed with; empty: this process.")]


@app.command("feature-extraction")
def run_feature_extraction(
    data: Data = "",
    holdout: Holdout = "none",
    items: Items = 2000,
    users: Users = 3000,
    events: Events = 150_000,
    seed: Seed = 7,
    encoders: Encoders = "",
    embeddings: Embeddings = "",
    triton: EncodeWith = "",
    output: EmbeddingsTo = "",
    point_in_time: Computed = "",
) -> None:
    """Validate the data, embed the items, compute the features."""
    _run(
        feature_extraction,
        data=data,
        holdout=holdout,
        items=items,
        users=users,
        events=events,
        seed=seed,
        encoders=encoders,
        embeddings=embeddings or str(home.embeddings()),
        triton=triton,
        output=output,
        point_in_time=point_in_time,
    )


@app.command("retraining")
def run_retraining(
    data: Data = "",
    holdout: Holdout = "none",
    items: Items = 2000,
    users: Users = 3000,
    events: Events = 150_000,
    seed: Seed = 7,
    encoders: Encoders = "",
    embeddings: Embeddings = "",
    triton: EncodeWith = "",
    output: EmbeddingsTo = "",
    point_in_time: Computed = "",
) -> None:
    """From data to the next release; prints its number."""
    outputs = _run(
        retraining,
        home=str(home.home()),
        data=data,
        holdout=holdout,
        items=items,
        users=users,
        events=events,
        seed=seed,
        encoders=encoders,
        embeddings=embeddings or str(home.embeddings()),
        triton=triton,
        output=output,
        point_in_time=point_in_time,
    )
    typer.echo(outputs["Output"])


def _run(pipeline: object, **arguments: str | int) -> dict[str, object]:
    """Run ``pipeline`` through ``kfp.local`` in this environment; exits with the failed step's message and code."""
    root = home.pipelines()
    root.mkdir(parents=True, exist_ok=True)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    log_path = root / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    with log_path.open("w") as log:
        screen = Screen(log, sys.stderr)
        try:
            with redirect_stdout(screen):
                outputs: dict[str, object] = pipeline(**arguments).outputs  # type: ignore[operator]  # kfp: untyped
        except RuntimeError as failure:
            typer.echo(screen.error or f"{failure}\n{_tail(log_path)}", err=True)
            typer.echo(f"The run's log: {log_path}", err=True)
            raise typer.Exit(getattr(errors, screen.error_name, errors.WinnowError).exit_code) from None
    return outputs


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text().splitlines()[-lines:])


if __name__ == "__main__":
    bypass_loopback()
    app()
