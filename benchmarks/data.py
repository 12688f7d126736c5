"""Where the real data lies that benchmarks read; it is not part of the project."""

from pathlib import Path

from winnow.errors import WinnowError

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def files(name: str, pattern: str) -> list[Path]:
    """The files of the data set ``name``, in the order of their paths.

    Raises:
        WinnowError: it is not here.
    """
    found = sorted((FOLDER / name).glob(pattern))
    if not found:
        raise WinnowError(f"no {pattern} in {FOLDER / name}: this benchmark needs that data set there")
    return found
