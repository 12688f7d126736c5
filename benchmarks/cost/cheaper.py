"""What costs less: the embedded predictor, and answers that are reused."""

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import typer

from benchmarks.common.load_plan import K
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest
from benchmarks.cost.blocks import FIGURES, PATIENT_MS, LoadShape, alternate, ratio, rows_of, run
from benchmarks.cost.served import EMBEDDED, Served, can, serve
from winnow import client

_USERS, _TURNS, _BLOCK_S = 300, 5, 4.0
_EIGHT, _REPEATED = LoadShape("v1", 8), LoadShape("v1", 8, repeats=True)
_SAME = LoadShape("v1", 1, same=True)
_SAFETY = "benchmarks.cost.reuse_safety"

_TARGETS = {
    ("embedded", _EIGHT, "CPU, all processes"): "<= 0.3",
    ("embedded", _EIGHT, "throughput"): ">= 3",
    ("after", _REPEATED, "CPU, all processes"): "<= 0.35",
}


def measure(before: Path | None) -> list[Row]:
    """Serve the newest release with Triton and with the embedded predictor, and with another checkout's version.

    What this version cannot do is left out with a message.

    Args:
        before: the other checkout, if there is one.

    Raises:
        WinnowError: there is no release, or a stack did not start.
    """
    release = newest()
    users = active_users(release, _USERS)
    with ExitStack() as exits:
        stacks = [exits.enter_context(serve("after", release))]
        if can(EMBEDDED[0]):
            stacks.append(exits.enter_context(serve("embedded", release, options=EMBEDDED)))
        else:
            typer.echo(f"embedded predictor left out: `winnow up` has no {EMBEDDED[0]}", err=True)
        names = [stack.name for stack in stacks]
        if before is not None:
            stacks.append(exits.enter_context(serve("before", release, before)))
        blocks = alternate(stacks, (_EIGHT, _REPEATED), users, _TURNS, _BLOCK_S)
        rows = rows_of(blocks)
        if _reuses(stacks[0], users[0]):
            rows += _reused(stacks[0], users)
        else:
            typer.echo("reuse left out: the endpoint computes a repeated request again", err=True)
    if before is not None:
        for name in names:
            for shape in (_EIGHT, _REPEATED):
                for label, (figure, _) in FIGURES.items():
                    value = ratio(blocks, shape, name, "before", figure)
                    target = _TARGETS.get((name, shape, label), "")
                    rows.append(row(f"{shape}, {label}, {name} / before", value, "x", target))
    if find_spec(_SAFETY):
        rows += import_module(_SAFETY).measure()
    return rows


def _reuses(stack: Served, user: str) -> bool:
    """Whether the second of two equal requests is answered with the first one's answer."""
    with client.http(stack.ports.http) as endpoint:
        answers = [client.over_http_v1(endpoint, [_request(user)])[0] for _ in range(2)]
    return "reused_ms" in answers[1]


def _reused(stack: Served, users: Sequence[str]) -> list[Row]:
    """One client that repeats one request: but for one answer in the seconds for which answers are held, all reused."""
    run(stack, _SAME, users, _BLOCK_S)
    block = run(stack, _SAME, users, 2 * _BLOCK_S)
    return [
        row("a reused answer, p50", block.p50, "ms", "<= 2"),
        row("a reused answer, CPU, all processes", block.all_ms, "ms", "<= 0.6"),
    ]


def _request(user: str) -> client.Instance:
    return {"user_id": user, "k": K, "deadline_ms": PATIENT_MS}
