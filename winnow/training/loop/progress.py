"""The bar of a training loop: share done, throughput, time left, and the newest figures."""

from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

_SECONDS = 0.5
"""Between two drawings of the bar, so that a log that holds all of them stays short."""


class Progress:
    """Draws a training loop's progress on standard error; a context manager, whose end closes the bar.

    Throughput and time left include the validations. The time left is an upper bound where patience may end the loop.

    Args:
        name: of the loop.
        total: examples, or steps, that the loop takes at most.
        unit: what is counted, such as ``list``.
        show: draw the bar; ``False`` for all ranks but the first.
    """

    def __init__(self, name: str, total: int, unit: str, show: bool) -> None:
        self._bar = tqdm(
            total=total, desc=name, unit=f" {unit}s", unit_scale=True, mininterval=_SECONDS, disable=not show
        )

    def step(self, count: int) -> None:
        """Count a step.

        Args:
            count: how many units it took, on all ranks together.
        """
        self._bar.update(count)

    def show(self, figures: Mapping[str, float]) -> None:
        """Show figures, such as an epoch's number and its validation, from the next drawing on."""
        shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in figures.items()}
        self._bar.set_postfix(shown, refresh=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
