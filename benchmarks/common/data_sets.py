"""Real data sets that benchmarks read; they lie beside the repository and are not part of it."""

from pathlib import Path

from tests.support.paths import SHARED
from winnow.errors import WinnowError

FOLDER = SHARED / "data"


def files(name: str, pattern: str) -> list[Path]:
    """The files of a data set, sorted by path.

    Raises:
        WinnowError: the data set is missing.
    """
    found = sorted((FOLDER / name).glob(pattern))
    if not found:
        raise WinnowError(f"no {pattern} in {FOLDER / name}: this benchmark needs that data set there")
    return found
