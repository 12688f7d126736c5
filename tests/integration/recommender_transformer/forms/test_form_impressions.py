"""Impressions say which form they are of, and what learns from impressions leaves other forms out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from redis import Redis

from winnow.feedback import export_files
from winnow.feedback.export_files import IMPRESSION_TABLE
from winnow.lifecycle.gate.requests import logged
from winnow.settings.experiments import Experiments
from winnow.store.connection import connect
from winnow.store.keys import EXPORTED, IMPRESSIONS

REQUESTS = [
    {"user_id": "user-1"},
    {"user_id": "user-1", "items": [{"item_id": "item-1"}]},
    {"user_id": "user-1", "like": "item-1"},
    {"user_id": "user-1", "rank": ["item-1", "item-2"]},
    {"user_id": "user-1", "list": "popular"},
]
FORMS = ["plain", "items", "like", "rank", "list"]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        connected.delete(IMPRESSIONS, EXPORTED)
        yield connected


def test_the_form_is_logged_exported_and_left_out_by_the_gate(
    ask: Any, client: Redis, redis_url: str, tmp_path: Path
) -> None:
    ask(*REQUESTS)
    rows = [row for entry in client.xrange(IMPRESSIONS) if (row := IMPRESSION_TABLE.row(entry))]
    assert [row["form"] for row in rows] == FORMS
    file = export_files.write(str(tmp_path), IMPRESSION_TABLE, rows)
    assert pq.read_table(file)["form"].to_pylist() == FORMS
    # From the stream and from the export: the plain one alone.
    for found in (logged(str(tmp_path / "none"), 10, redis_url), logged(str(tmp_path), 10)):
        assert [(one.user_id, one.k) for one in found] == [("user-1", 10)]


def test_only_what_the_funnel_chose_takes_part_in_experiments_and_exploration(ask: Any) -> None:
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "defaults": {"diversity": 0.5}}]
    experiments = Experiments.model_validate({"experiments": ({"name": "e", "arms": tuple(arms)},)}, strict=False)
    answers = ask(*REQUESTS, experiments=experiments, explore=1.0)
    assert ["arms" in answer for answer in answers] == [True, True, True, False, False]
    assert ["explored" in answer for answer in answers] == [True, False, False, False, False]
