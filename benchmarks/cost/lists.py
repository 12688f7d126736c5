"""Whether versions answer the same requests with the same lists: over every protocol, alone and in batches."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest
from benchmarks.cost.blocks import PATIENT_MS
from benchmarks.cost.requests import drawn
from benchmarks.cost.served import Served, versions
from winnow import protocols
from winnow.protocols import Instance
from winnow.request import Answer

REQUESTS, BATCH = 1000, 16

TIE = 1e-5
"""Scores closer than this are equal: sums of another order, as in a batch, differ in their last bits."""

Ask = Callable[[list[Instance]], list[Answer]]
_PROTOCOLS = ("HTTP v1", "HTTP v2", "gRPC")


def measure(before: Path | None, count: int = REQUESTS) -> list[Row]:
    """Serve the newest release with this version, with the embedded predictor, and with another checkout's version.

    Args:
        before: the other checkout, if there is one.
        count: number of requests.

    Raises:
        WinnowError: there is no release, a stack did not start, or a request was refused.
    """
    release = newest()
    requests = drawn(release, count)
    with versions(release, before) as stacks:
        given = {stack.name: _answers(stack, requests) for stack in stacks}
        batched = {stack.name: _batched(stack, requests) for stack in stacks if stack.name != "before"}
    rows = []
    for name, answers in given.items():
        rows.append(_in_full(f"{name}: answered in full", answers))
        if name != "after":
            for protocol in _PROTOCOLS:
                rows += _compared(f"after and {name}, {protocol}", given["after"][protocol], answers[protocol])
    for name, calls in batched.items():
        rows.append(_in_full(f"{name}: answered in full, in batches", calls))
        first = given[name][_PROTOCOLS[0]]
        for protocol in _PROTOCOLS[1:]:
            rows += _compared(f"{name}: {_PROTOCOLS[0]} and {protocol}", first, given[name][protocol])
        for protocol in _PROTOCOLS:
            rows += _compared(f"{name}: alone and in batches, {protocol}", given[name][protocol], calls[protocol])
    return rows


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers list the same items in the same order; items of equal scores may be swapped."""
    left, right = one["items"], other["items"]
    if len(left) != len(right) or any(abs(a["score"] - b["score"]) > TIE for a, b in zip(left, right, strict=True)):
        return False
    # The items at one place may differ where a neighbour, or what was cut off, has the same score.
    least = min((item["score"] for item in left), default=0.0)
    clear = [{item["item_id"] for item in items if item["score"] > least + TIE} for items in (left, right)]
    return clear[0] == clear[1]


def batches(requests: Sequence[Instance]) -> list[list[int]]:
    """The positions of requests that have the same fields, in groups of at most :data:`BATCH`."""
    order = sorted(range(len(requests)), key=lambda position: sorted(requests[position]))
    alike = [list(group) for _, group in groupby(order, key=lambda position: sorted(requests[position]))]
    return [group[start : start + BATCH] for group in alike for start in range(0, len(group), BATCH)]


def _in_full(what: str, answers: dict[str, list[Answer]]) -> Row:
    full = [not answer["degraded"] for protocol in answers.values() for answer in protocol]
    return row(what, sum(full) / len(full), "share", ">= 1")


def _compared(what: str, one: Sequence[Answer], other: Sequence[Answer]) -> list[Row]:
    pairs = list(zip(one, other, strict=True))
    equal = sum(same(*pair) for pair in pairs)
    exact = sum(_ids(left) == _ids(right) for left, right in pairs)
    return [
        row(f"{what}: equal lists, ties aside", equal / len(pairs), "share", ">= 1"),
        row(f"{what}: equal lists, ties included", exact / len(pairs), "share"),
    ]


def _ids(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def _answers(stack: Served, requests: Sequence[Instance]) -> dict[str, list[Answer]]:
    """The answers of lone requests by protocol, over all protocols at once."""

    def ask_all(number: int) -> list[Answer]:
        with _asking(stack, _PROTOCOLS[number]) as ask:
            # A deadline of its own for each protocol: an answer over one must not be reused over another.
            return [answer for request in requests for answer in ask([request | {"deadline_ms": PATIENT_MS + number}])]

    with ThreadPoolExecutor(len(_PROTOCOLS)) as threads:
        return dict(zip(_PROTOCOLS, threads.map(ask_all, range(len(_PROTOCOLS))), strict=True))


def _batched(stack: Served, requests: Sequence[Instance]) -> dict[str, list[Answer]]:
    """The answers of the same requests in batches, in the order of the requests."""

    def ask_all(number: int) -> list[Answer]:
        deadline = {"deadline_ms": PATIENT_MS + len(_PROTOCOLS) + number}
        answers: dict[int, Answer] = {}
        with _asking(stack, _PROTOCOLS[number]) as ask:
            for batch in batches(requests):
                answered = ask([requests[position] | deadline for position in batch])
                answers |= zip(batch, answered, strict=True)
        return [answers[position] for position in range(len(requests))]

    return {protocol: ask_all(number) for number, protocol in enumerate(_PROTOCOLS)}


@contextmanager
def _asking(stack: Served, protocol: str) -> Iterator[Ask]:
    """A connection that stays open."""
    if protocol == "gRPC":
        with protocols.grpc(stack.ports.grpc) as calls:
            yield partial(protocols.over_grpc, calls)
    else:
        over_http = protocols.over_http_v1 if protocol == "HTTP v1" else protocols.over_http_v2
        with protocols.http(stack.ports.http) as endpoint:
            yield partial(over_http, endpoint)
