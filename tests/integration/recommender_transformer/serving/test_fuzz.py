"""Generated requests to the real server: no 5xx and no hang."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.access.calls import Keys, write
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


@pytest.mark.slow
def test_generated_requests_with_generated_keys_are_never_answered_5xx(
    serve_tiny: Callable[..., Any], redis_url: str, release: Release, tmp_path: Path
) -> None:
    keys = Keys()
    access = write(tmp_path / "access.yaml", keys=keys.entries())
    given = [*[keys.every] * 6, *keys.by_scope.values(), keys.expired]
    with serve_tiny(redis_url, access=str(access)) as server:
        answered = send(vocabulary_of(release, given), *server.ports, count=400, seed=3)
        log = (tmp_path / "server.log").read_text()
    assert answered.broken == []
    assert answered.hung == []
    assert sum(answered.statuses.values()) == 400
    for status in ("200", "400", "401", "403", "UNAUTHENTICATED"):
        assert answered.statuses[status] > 4, status
    assert answered.statuses["PERMISSION_DENIED"] > 0
    assert "winnow_" not in log
