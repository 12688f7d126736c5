"""Publications and promotions that are killed; ``python -m benchmarks switch`` kills fifty."""

from pathlib import Path

import pytest

from tests.support.lifecycle.killed import killed


@pytest.mark.slow
def test_a_killed_promotion_leaves_the_old_release_live_or_the_new_one(tmp_path: Path) -> None:
    for before, promoted, after in killed(tmp_path, rounds=8):
        assert after in (before, promoted)
