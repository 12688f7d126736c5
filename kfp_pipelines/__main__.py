"""``python -m kfp_pipelines NAME``: run a pipeline's own definition, the one the cluster runs, on this machine."""

from typing import Annotated, Literal

import typer

from kfp_pipelines.feature_extraction import feature_extraction
from kfp_pipelines.retraining import retraining
from kfp_pipelines.running import run
from winnow import home
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
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last whole step of the unfinished run.")]
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
    run(
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
    resume: Resume = False,
) -> None:
    """From data to the next release; prints its number."""
    run(
        retraining,
        resume=resume,
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


if __name__ == "__main__":
    bypass_loopback()
    app()
