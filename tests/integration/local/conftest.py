"""The home of the tests of stacks."""

from pathlib import Path

import pytest

from tests.support.lifecycle.stub_stack import stub_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with release 1: two items, one user, two models that return what they get."""
    return stub_home(tmp_path, monkeypatch)
