"""Generated requests to the real server: no 5xx and no hang."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults.fuzz import send, vocabulary_of
from winnow.release import Release


@pytest.mark.slow
def test_generated_requests_are_never_answered_5xx(
    serve_tiny: Callable[..., Any], redis_url: str, release: Release
) -> None:
    # A server of its own: some requests add items.
    with serve_tiny(redis_url) as server:
        answered = send(vocabulary_of(release), *server.ports, count=400, seed=2)
    assert answered.broken == []
    assert answered.hung == []
    assert sum(answered.statuses.values()) == 400
    assert answered.statuses["200"] > 40
    assert answered.statuses["400"] > 40
    assert answered.statuses["INVALID_ARGUMENT"] > 10
