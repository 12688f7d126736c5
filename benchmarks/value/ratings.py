"""Do ratings below the middle push items away? MovieLens 100K with two-sided ratings, and with every rating alike."""

import shutil
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.common.data_sets import files
from benchmarks.common.rows import Row, row
from benchmarks.value.subjects import Subjects, build
from winnow import home
from winnow.datasets.canonical.spec import FILE
from winnow.evaluation.funnel import Funnel
from winnow.items.index import ItemIndex
from winnow.ranking import metrics
from winnow.release import Release

K = 10
LIKED = 4
"""A rating from which on the user likes the film."""


def measure(subjects: Subjects) -> list[Row]:
    """Ndcg@10 and the ratings of the hits, on each user's last rating."""
    two_sided, plain = (_Answers(build(data(each), "last")) for each in ("two-sided", "plain"))
    split = f"each of {len(two_sided.rating)} users' last rating"
    rows = [row(f"plain ratings, funnel's ndcg@10 ({split})", plain.ndcg(), "", ">= 0.134")]
    for name, answers in (("plain", plain), ("two-sided", two_sided)):
        rows += [
            row(f"{name} ratings, mean rating of the hits in the first {K}", answers.mean_rating(), "stars"),
            row(f"{name} ratings, ndcg@10 of ratings of {LIKED} and more", answers.ndcg(LIKED), ""),
        ]
    return [
        *rows,
        row(
            "mean rating of the hits, two-sided - plain",
            two_sided.mean_rating() - plain.mean_rating(),
            "stars",
            ">= 0.0001",
        ),
        row(f"ndcg@10 of ratings of {LIKED} and more, two-sided", two_sided.ndcg(LIKED), "", ">= 0.097"),
        row("the same, two-sided / plain", two_sided.ndcg(LIKED) / plain.ndcg(LIKED), "x", ">= 1"),
    ]


class _Answers:
    """The funnel's lists for the users of a release whose last rating was held out, and that rating."""

    def __init__(self, release: Release) -> None:
        held = release.array("holdout")
        stars = np.array([0, *(int(name.removeprefix("rated_")) for name in release.schema.events)])
        self.item: NDArray[np.int32] = np.asarray(held["item"])
        self.rating: NDArray[np.int64] = stars[held["event"]]
        with Funnel.serving(release) as funnel:
            self.top = funnel.lists(release.array("user_ids")[held["user"]].tolist(), ItemIndex.of(release))

    def ndcg(self, least: int = 0) -> float:
        """Over the users whose rating is ``least`` or more."""
        counted = self.rating >= least
        return metrics.ndcg(self.top[counted], self.item[counted], K)

    def mean_rating(self) -> float:
        """Of the held-out films in the first ten."""
        hit = (self.top[:, :K] == self.item[:, None]).any(axis=1)
        return float(self.rating[hit].mean())


def data(kind: str) -> Path:
    """MovieLens as it is, or beside a ``dataset.yaml`` in which every rating is an interaction like any other."""
    [log] = files("ml-100k", "*.inter")
    if kind == "two-sided":
        return log.parent
    folder = home.home() / "ml-100k-plain"
    shutil.copytree(log.parent, folder)
    (folder / FILE).write_text(yaml.safe_dump({"events": {f"rated_{stars}": 1 for stars in range(1, 6)}}))
    return folder
