"""How good are the releases that the defaults give, and how long does a build take? As ``winnow evaluate`` counts."""

import time

from benchmarks.common.rows import Row, row
from benchmarks.training.subjects import data_set
from benchmarks.value import ratings
from winnow.cli.build import run_build
from winnow.evaluation.report import evaluate
from winnow.release import BuildInputs

TARGETS = {"beauty": (0.058, 0.054), "ml-100k": (0.134, 0.120)}
"""Data set -> ndcg@10 of funnel and retriever. MovieLens' ratings count as plain interactions."""

LONGEST_MINUTES = 30


def measure() -> list[Row]:
    """Ndcg@10 of each user's last event, and minutes of the build."""
    rows = []
    for name, (funnel, retriever) in TARGETS.items():
        data = ratings.data("plain") if name == "ml-100k" else data_set(name)
        started = time.monotonic()
        release = run_build(BuildInputs(data=str(data)), "last")
        minutes = (time.monotonic() - started) / 60
        evaluation = evaluate(release)
        found = evaluation["metrics"]
        rows += [
            row(f"{name}, build", minutes, "min", f"<= {LONGEST_MINUTES}"),
            row(
                f"{name}, retriever's ndcg@10 ({evaluation['split']})",
                found["retriever"]["ndcg@10"],
                "",
                f">= {retriever}",
            ),
            row(f"{name}, funnel's ndcg@10", found["funnel"]["ndcg@10"], "", f">= {funnel}"),
        ]
    return rows
