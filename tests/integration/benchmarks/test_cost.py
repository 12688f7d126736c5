"""A block of load counts answers over each protocol, and the CPU time of the processes that give them."""

from typing import Any

import psutil
import pytest

from benchmarks.cost.blocks import LoadShape, run
from benchmarks.cost.served import Served
from winnow.ports import Ports

USERS = [f"user-{number}" for number in range(10)]


@pytest.mark.parametrize(
    "shape", [LoadShape("v1", 2), LoadShape("v1", 1, same=True), LoadShape("v2", 1), LoadShape("grpc", 1)], ids=str
)
def test_a_block_counts_answers_and_cpu_time(server: Any, shape: LoadShape) -> None:
    http, grpc = server.ports
    served = Served("tiny", Ports(http, grpc, *range(7)), psutil.Process())
    block = run(served, shape, USERS, 1.0)
    assert (block.full, block.refused) == (1.0, 0.0)
    assert 0 < block.p50 <= block.p99
    assert block.rate > 0
    # The fixture's transformer is a module of the tests, which has no name of its own.
    assert block.cpu_ms["others"] > 0
    assert block.all_ms >= block.cpu_ms["others"]
