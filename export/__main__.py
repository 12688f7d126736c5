"""``python -m export``: templates of Triton's configurations, and TensorRT plans."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from winnow.errors import WinnowError

app = typer.Typer(help="PyTorch to ONNX to Triton's model repository.", no_args_is_help=True, add_completion=False)


@app.command()
def configs(
    folder: Annotated[Path, typer.Option(help="Where to write NAME/config.pbtxt.")] = Path("model_repository"),
) -> None:
    """Write every model's config.pbtxt as its signature alone makes it; a release fills in its dimensions."""
    from export.triton.config import write_configs

    for path in write_configs(folder):
        Console().print(str(path), soft_wrap=True)


@app.command()
def plan(
    model: Annotated[Path, typer.Argument(help="The ONNX file of one of Winnow's models.")],
    out: Annotated[Path, typer.Argument(help="The plan to write.")],
) -> None:
    """Build a TensorRT plan; needs TensorRT and an NVIDIA GPU."""
    from export.triton.tensorrt_plan import build_plan

    build_plan(model, out)


if __name__ == "__main__":
    try:
        app()
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None
