"""A manual clock for breakers and admission."""

import pytest

from recommender_transformer.backends import breaker
from recommender_transformer.serving.connections import admission


class Clock:
    """A clock that advances by assignment only."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of breakers and admission."""
    moved = Clock()
    for module in (breaker, admission):
        monkeypatch.setattr(module, "monotonic", moved)
    return moved
