"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from winnow.local.stack_state import Predictor
from winnow.release import BuildInputs

Data = Annotated[
    str | None,
    typer.Option(
        help="The data set: a folder of Parquet or CSV files with dataset.yaml, a folder of RecBole atomic files, "
        "s3:// or glue://. Default: a generated demo marketplace.",
        show_default=False,
    ),
]
Items = Annotated[int, typer.Option(min=50, help="Number of items of the demo marketplace.")]
Users = Annotated[int, typer.Option(min=50, help="Number of users of the demo marketplace.")]
Events = Annotated[int, typer.Option(min=1000, help="Number of events of the demo marketplace.")]
DEFAULTS = BuildInputs()
"""Default sizes of the demo marketplace."""

PortBase = Annotated[int, typer.Option(help="First of the nine consecutive ports of the stack; HTTP listens on it.")]
Host = Annotated[
    str,
    typer.Option(
        help="Address that HTTP and gRPC listen on: 127.0.0.1 for this machine only, 0.0.0.0 for all its networks. "
        "Without --access every client can request any user and write events and items."
    ),
]

PredictorChoice = Annotated[
    Predictor,
    typer.Option(help="What computes the models: Triton, or ONNX Runtime in the transformer, which needs less CPU."),
]

Explore = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=0.1,
        help="Share of the lists that are drawn at random from the best candidates, so that `winnow off-policy` can "
        "estimate from the impressions what other releases would have earned.",
    ),
]

ExperimentsFile = Annotated[
    Path | None,
    typer.Option(
        "--experiments",
        help="YAML file of experiments: requests get the defaults of their user's arms. A copy is kept as "
        "experiments.yaml in WINNOW_HOME, for `winnow experiment report`.",
        show_default=False,
    ),
]

AccessFile = Annotated[
    Path | None,
    typer.Option(
        "--access",
        help="YAML file of API keys, JWT settings and open scopes, or a folder of such files: calls need a key "
        "(`winnow access new` makes one), also those of the winnow commands, which take it from WINNOW_API_KEY.",
        show_default=False,
    ),
]

WithExplorer = Annotated[
    bool, typer.Option("--explorer/--no-explorer", help="Serve the explorer, too: pages that show why, on loopback.")
]

ReleaseDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the release. Default: the release of the running stack.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
