"""An evaluation that cannot be made is refused before anything is served."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_release import SCHEMA, write_release
from winnow.errors import WinnowError
from winnow.evaluation.held_out import OUTCOME
from winnow.evaluation.report import check, evaluate


@pytest.mark.parametrize(
    ("objective", "by", "said"),
    [("purchase", None, "--objective: 'purchase'"), ("any", "age", "--by: 'age'"), ("buy", "activity", "no event was")],
)
def test_an_evaluation_without_users_names_the_reason(
    objective: str, by: str | None, said: str, tmp_path: Path
) -> None:
    release = write_release(tmp_path, 1)
    np.save(release.folder / "holdout.npy", np.zeros(0, OUTCOME))
    with pytest.raises(WinnowError, match=said):
        evaluate(release, objective, by)


def test_objective_and_segment_are_checked_without_held_out_events() -> None:
    check(SCHEMA, "conversion", "country")
    with pytest.raises(WinnowError, match="has view, buy, dislike;"):
        check(SCHEMA, "conversion,return", "country")
    with pytest.raises(WinnowError, match="activity, country"):
        check(SCHEMA, "any", "city")
