"""A stack follows the pin of its home; the sidecar and the transformer are stubs."""

import os
import signal

import pytest
from redis import Redis

from tests.support.lifecycle.stub_stack import eventually, listening, pid_of, write_models, write_release
from winnow.errors import WinnowError
from winnow.lifecycle.live import live, promote, rollback
from winnow.local.background import followed
from winnow.local.processes import http_ok
from winnow.local.stack import Stack
from winnow.local.stack_state import running
from winnow.ports import Ports


@pytest.mark.slow
def test_a_stack_follows_the_pin_and_goes_back_without_a_start(home, monkeypatch):
    for number in (2, 3):
        write_models(home / "model_repository" / str(number), number)
        write_release(home / "releases" / str(number), number)
    promote(str(home), 1)
    ports = Ports.free()
    with Stack(1, ports, show_progress=False) as stack:
        first = pid_of(home, "bloom_sidecar")
        pin = promote(str(home), 2)
        stack.follow()
        state = followed(pin, show_progress=False)
        assert (state.release, state.warm) == (2, 1)
        assert state.ports.sidecar != ports.sidecar
        assert (state.ports.http, state.ports.redis) == (ports.http, ports.redis)
        assert http_ok(ports.http, "/v2/health/ready")
        with Redis(port=ports.redis) as redis:
            assert redis.exists("r2:manifest")
        # The release before still runs: the ports move, and no process starts.
        rollback(str(home))
        stack.follow()
        assert (running().release, running().warm, running().ports) == (1, 2, ports)
        assert pid_of(home, "bloom_sidecar") == first
        # A warm chain that fails is no loss.
        os.kill(pid_of(home, "second/bloom_sidecar"), signal.SIGKILL)
        assert eventually(lambda: stack.follow() or stack._check() or running().warm is None)
        # What does not become ready is refused, and the pin goes back.
        monkeypatch.setenv("DEGRADED", "ranker:UNAVAILABLE")
        monkeypatch.setattr("winnow.local.chain.FIRST_ANSWER_SECONDS", 0.5)
        before, pin = live(str(home)), promote(str(home), 3)
        stack.follow()
        with pytest.raises(WinnowError, match=r"release 1 stays live: .*still degraded \(ranker:UNAVAILABLE\)"):
            followed(pin, show_progress=False)
        assert live(str(home)) == before
        assert running().warm is None
        assert listening(ports) != []
        monkeypatch.delenv("DEGRADED")
        monkeypatch.setattr("winnow.local.stack.WARM_SECONDS", 0.0)
        promote(str(home), 2)
        stack.follow()
        assert running().warm == 1
        stack.follow()
        assert running().warm is None
        assert not http_ok(ports.sidecar, "/ready")
    assert listening(ports) == []
