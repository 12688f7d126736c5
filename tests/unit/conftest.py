"""What several unit tests use."""

import pytest

from recommender_transformer.backends import breaker
from recommender_transformer.serving.connections import admission


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of breakers and limits."""
    moved = Clock()
    for module in (breaker, admission):
        monkeypatch.setattr(module, "monotonic", moved)
    return moved
