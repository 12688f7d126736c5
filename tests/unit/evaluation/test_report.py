"""An evaluation without users to ask is refused with the reason."""

from pathlib import Path

import numpy as np
import pytest

from winnow import release as releases
from winnow.errors import WinnowError
from winnow.evaluation.report import evaluate
from winnow.release import Release
from winnow.schema import Feature, FeatureSchema

SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(),
    events=("view", "buy"),
    event_values=(1.0, 4.0),
    event_windows_ms=(86_400_000, 86_400_000),
    conversions=("buy",),
)


def release(folder: Path, holdout: list[list[int]]) -> Release:
    """One user with events of items 1 and 2, and the held-out events."""
    return releases.write(
        folder / "1",
        {
            "item_ids": np.array(["", "a", "b", "c"]),
            "offsets": np.array([0, 2]),
            "item": np.array([1, 2], np.int32),
            "event": np.ones(2, np.int32),
            "timestamp": np.arange(2),
            "holdout": np.array(holdout, np.int32).reshape(-1, 3),
        },
        {"schema.json": SCHEMA.model_dump_json(), "vocabularies.json": "{}"},
        number=1,
        dataset="tiny",
        source=releases.BuildInputs(),
        holdout="last",
        as_of=10,
        history_length=5,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


@pytest.mark.parametrize(
    ("holdout", "min_weight", "said"),
    [
        ([], 0.0, "no event was held out, because no user has three events or more"),
        ([[0, 2, 1]], 0.0, "the item of each of the 1 held-out events is in its user's history"),
        (
            [[0, 3, 1], [0, 2, 2]],
            2.0,
            "of an unseen item weighs at least 2; the event types weigh view 1, buy 4",
        ),
    ],
)
def test_an_evaluation_without_users_names_the_reason(
    holdout: list[list[int]], min_weight: float, said: str, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match=said):
        evaluate(release(tmp_path, holdout), min_weight, show_progress=False)
