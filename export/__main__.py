"""``python -m export configs``: rewrite the committed ``config.pbtxt`` files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.triton_config import write_configs

app = typer.Typer(help="PyTorch to ONNX to Triton's model repository.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Keeps ``configs`` a subcommand while it is the only one."""


@app.command()
def configs(
    repository: Annotated[Path, typer.Option(help="The model repository to write into.")] = Path("model_repository"),
) -> None:
    """Write every model's config.pbtxt."""
    for path in write_configs(repository):
        Console().print(str(path))


if __name__ == "__main__":
    app()
