"""A rollout on a real API server with KServe's controller, judged by a real Prometheus of planted metrics.

It has the rights of the pipelines' account. The test plays the controllers that make pods, and the gateway.
"""

import os
import signal
import subprocess
import sys
import threading

import pytest

from cluster_validation.api_server.server import Refused
from kfp_pipelines.rollout.controller import Reverted, stop
from kfp_pipelines.rollout.lease import Held
from kfp_pipelines.rollout.state import LAST, STATE, state_of
from tests.support.cluster.accounts import PIPELINES
from tests.support.cluster.planted import Behaviour
from tests.support.cluster.rollout import objects_of
from tests.support.paths import ROOT
from tests.support.until import until
from winnow.errors import WinnowError

pytestmark = pytest.mark.filterwarnings(
    # The client of kfp's bounds (kubernetes < 31) calls what urllib3 2 has under another name.
    r"ignore:HTTPResponse\.getheaders?\(\) is deprecated:DeprecationWarning"
)

CANARY, STABLE = "recommender-canary", "recommender"
BAD = {
    "failures": Behaviour(failed=0.02),
    "degraded": Behaviour(degraded=0.05),
    "latency": Behaviour(seconds=0.025),
    "clicks": Behaviour(liked=0.2),
}


def rules(players, plural="httproutes"):
    return players.route(plural)["spec"]["rules"]


@pytest.mark.slow
def test_a_good_canary_is_promoted_through_all_steps(players, rolled_out, server, place):
    before = {plural: rules(players, plural) for plural in ("httproutes", "grpcroutes")}
    old = players.release(STABLE)
    new = old + 1
    stable = [each.replace(f"release-{old}", f"release-{new}") for each in objects_of(server, place, STABLE)]
    seen = {}

    def look(share):
        seen[share] = players.release(STABLE), state_of(players.route())

    players.on_share = look
    lines = rolled_out(new)
    until(lambda: players.shares[-1] == 0)
    assert players.shares == [0, 5, 25, 50, 100, 50, 25, 5, 0]
    assert players.release(STABLE) == new
    assert {plural: rules(players, plural) for plural in before} == before
    assert objects_of(server, place, CANARY) == []
    # The Job of the old release is removed as well.
    assert objects_of(server, place, STABLE) == stable
    assert STATE not in players.annotations()
    assert players.annotations()[LAST].startswith(f"release {new} promoted, 20")
    assert lines[-1] == f"release {new} is promoted: chain recommender serves it to all users"
    # The stable chain changes its release only while it has no traffic.
    assert seen[100][0] == old
    assert (seen[50][0], seen[50][1].phase) == (new, "returning")
    with pytest.raises(WinnowError, match=f"chain recommender serves release {new} already"):
        rolled_out(new)


@pytest.mark.parametrize("what", BAD)
def test_a_canary_that_turns_bad_is_reverted_within_two_intervals(players, rolled_out, server, place, exporter, what):
    before = {plural: rules(players, plural) for plural in ("httproutes", "grpcroutes")}

    def worsen(share):
        if share == 5:
            exporter.behave(CANARY, BAD[what])

    players.on_share = worsen
    old = players.release(STABLE)
    new = old + 1
    lines: list[str] = []
    with pytest.raises(Reverted) as reverted:
        rolled_out(new, lines, steps=(5, 100))
    until(lambda: players.shares[-1] == 0)
    assert players.shares == [0, 5, 0]
    assert f"release {new} was reverted: {what}: " in str(reverted.value)
    # On a busy machine the played gateway may need an interval until it sends the first requests.
    judged = [line for line in lines if line.startswith(f"release {new}, 5 %: ") and ": 0 re" not in line]
    assert len(judged) <= 2, lines
    assert players.release(STABLE) == old
    assert objects_of(server, place, CANARY) == []
    assert {plural: rules(players, plural) for plural in before} == before
    assert players.annotations()[LAST].startswith(f"release {new} reverted: {what}: ")


@pytest.mark.slow
def test_a_rollout_that_ends_at_any_line_is_continued_from_there(players, rolled_out):
    """Every run ends with an exception at its first new line; the next one continues."""
    new = players.release(STABLE) + 1
    lines: list[str] = []

    class Ended(Exception):
        pass

    class Ending(list):
        def append(self, line):
            known = line in lines
            lines.append(line)
            # Figures differ from run to run, so a line with figures is not compared.
            if not known and ", " not in line and "promoted" not in line:
                raise Ended(line)

    for _ in range(30):
        try:
            rolled_out(new, Ending(), steps=(5, 100))
            break
        except Ended:
            continue
    assert players.release(STABLE) == new
    until(lambda: players.shares[-1] == 0)
    assert players.shares == [0, 5, 100, 5, 0], lines
    assert len({line for line in lines if ", " not in line}) == 7


@pytest.mark.slow
def test_a_killed_rollout_is_taken_over_in_the_middle(players, rolled_out, kubeconfig, place):
    new = players.release(STABLE) + 1
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from kfp_pipelines.rollout.controller import roll_out\n"
        "from kfp_pipelines.rollout.settings import Place, RolloutSettings\n"
        f"place = Place(prometheus={place.prometheus!r})\n"
        f"roll_out({new}, place, RolloutSettings(interval_s=1.0, steps=(5, 25, 100)), lease_s=10)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: players.shares[-1] == 25)
        # Of two processes, one is refused.
        with pytest.raises(Held, match=rf"-{running.pid}-\w+ rolls a release out already; wait for it, or stop it"):
            rolled_out(new, steps=(5, 25, 100))
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    finally:
        running.kill()
    reached = state_of(players.route())
    with pytest.raises(WinnowError, match=f"release {new} is unfinished: continue it with --release {new}, or stop"):
        rolled_out(new + 1)
    lines = rolled_out(new, steps=(5, 25, 100))
    assert lines[0] == f"release {new}: chain recommender-canary serves {reached.share} % of the users"
    assert players.release(STABLE) == new
    until(lambda: players.shares[-1] == 0)
    assert players.shares == [0, 5, 25, 100, 25, 5, 0]


def test_a_canary_that_is_not_known_to_be_good_waits_and_is_reverted_at_last(players, rolled_out, exporter):
    exporter.share({CANARY: 0.0, STABLE: 1.0})
    players.on_share = lambda share: exporter.share({CANARY: 0.0, STABLE: 1.0})
    new = players.release(STABLE) + 1
    lines: list[str] = []
    with pytest.raises(Reverted, match=r"it was not known to be as good \(failures: 0 requests of the canary"):
        rolled_out(new, lines, step_hours=3.5 / 3600)
    assert players.shares[:2] == [0, 5]
    assert any(f"release {new}, 5 %: failures unknown: 0 requests of the canary" in line for line in lines)


@pytest.mark.parametrize("why", ["unready", "unpublished"])
def test_a_canary_that_does_not_become_ready_gets_no_user(players, rolled_out, why):
    new = players.release(STABLE) + 1
    getattr(players, why).add(new)
    message = {"unready": "it was not ready after", "unpublished": f"failed to publish release {new}: kubectl logs"}
    with pytest.raises(Reverted, match=message[why]):
        rolled_out(new, ready_minutes=(2 if why == "unready" else 60) / 60)
    assert players.shares == [0]


def test_a_stopped_promotion_gives_the_stable_chain_its_release_back(players, rolled_out, account, place):
    old = players.release(STABLE)
    new = old + 1

    def no_promotion(share):
        if share == 100:
            players.unready.add(new)

    players.on_share = no_promotion
    errors: list[BaseException] = []

    def run():
        try:
            rolled_out(new, steps=(5, 100))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: players.release(STABLE) == new)
    assert stop(place, "a mistake", account).phase == "promoting"
    thread.join(120)
    assert "it was stopped (a mistake)" in str(errors[0])
    assert players.release(STABLE) == old
    until(lambda: players.shares[-1] == 0)
    assert players.shares == [0, 5, 100, 0]
    with pytest.raises(WinnowError, match="no rollout of recommender is under way"):
        stop(place, "again", account)


def test_the_pipelines_account_may_roll_out_and_nothing_else(server):
    def may(verb: str, resource: str, *place: str) -> bool:
        try:
            return server.kubectl("auth", "can-i", verb, resource, f"--as={PIPELINES}", *place).strip() == "yes"
        except Refused:  # kubectl's exit code for "no"
            return False

    here = "--namespace=winnow"
    forbidden = [(verb, "secrets", here) for verb in ("get", "list")]
    forbidden += [(verb, "pods", here) for verb in ("get", "create", "delete")]
    forbidden += [("update", "httproutes.gateway.networking.k8s.io/other", here), ("patch", "deployments.apps", here)]
    forbidden += [("create", "roles.rbac.authorization.k8s.io", here), ("get", "inferenceservices", "-A")]
    forbidden += [("deletecollection", "inferenceservices", here), ("update", "networkpolicies", here)]
    assert [each for each in forbidden if may(*each)] == []
    assert may("update", "httproutes.gateway.networking.k8s.io/recommender", here)
