"""Is the funnel better than its retriever alone? As ``winnow evaluate`` counts, on the demo marketplace."""

from benchmarks.common.rows import Row, row
from benchmarks.value.subjects import Subjects
from winnow.evaluation.report import evaluate


def measure(subjects: Subjects) -> list[Row]:
    """Ndcg@10 of the served funnel and of the retriever."""
    evaluation = evaluate(subjects.demo)
    funnel, retriever = (evaluation["metrics"][name]["ndcg@10"] for name in ("funnel", "retriever"))
    return [
        row(f"demo, funnel's ndcg@10 ({evaluation['split']})", funnel, ""),
        row("demo, retriever's ndcg@10", retriever, ""),
        row("demo, funnel / retriever", funnel / retriever, "x", ">= 1.05"),
    ]
