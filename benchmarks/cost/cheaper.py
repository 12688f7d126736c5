"""What costs less: the embedded predictor, and answers that are reused."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest
from benchmarks.cost import reuse_safety
from benchmarks.cost.blocks import FIGURES, LoadShape, alternate, ratio, rows_of, run
from benchmarks.cost.served import Served, versions

_USERS, _TURNS, _BLOCK_S = 300, 5, 4.0
_EIGHT, _REPEATED = LoadShape("v1", 8), LoadShape("v1", 8, repeats=True)
_SAME = LoadShape("v1", 1, same=True)

_TARGETS = {
    ("embedded", _EIGHT, "CPU, all processes"): "<= 0.3",
    ("embedded", _EIGHT, "throughput"): ">= 3",
    ("after", _REPEATED, "CPU, all processes"): "<= 0.35",
}


def measure(before: Path | None) -> list[Row]:
    """Serve the newest release with Triton and with the embedded predictor, and with another checkout's version.

    Args:
        before: the other checkout, if there is one.

    Raises:
        WinnowError: there is no release, or a stack did not start.
    """
    release = newest()
    users = active_users(release, _USERS)
    with versions(release, before) as stacks:
        names = [stack.name for stack in stacks if stack.name != "before"]
        blocks = alternate(stacks, (_EIGHT, _REPEATED), users, _TURNS, _BLOCK_S)
        rows = rows_of(blocks)
        rows += _reused(stacks[0], users)
    if before is not None:
        for name in names:
            for shape in (_EIGHT, _REPEATED):
                for label, (figure, _) in FIGURES.items():
                    value = ratio(blocks, shape, name, "before", figure)
                    target = _TARGETS.get((name, shape, label), "")
                    rows.append(row(f"{shape}, {label}, {name} / before", value, "x", target))
    rows += reuse_safety.measure()
    return rows


def _reused(stack: Served, users: Sequence[str]) -> list[Row]:
    """One client that repeats one request: but for one answer in the seconds for which answers are held, all reused."""
    run(stack, _SAME, users, _BLOCK_S)
    block = run(stack, _SAME, users, 2 * _BLOCK_S)
    return [
        row("a reused answer, p50", block.p50, "ms", "<= 2"),
        row("a reused answer, CPU, all processes", block.all_ms, "ms", "<= 0.6"),
    ]
