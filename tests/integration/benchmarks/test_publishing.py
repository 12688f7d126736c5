"""The benchmark of publishing kills a publication with SIGKILL and compares what a second one makes of it."""

import pytest

from benchmarks.scale import publishing


@pytest.mark.slow
def test_a_killed_publication_is_continued_and_equals_an_uninterrupted_one() -> None:
    rows = {row.measure: row for row in publishing.measure(20_000)}
    checked = [row for measure, row in rows.items() if "killed" in measure]
    assert [row.holds for row in checked] == [True, True]
