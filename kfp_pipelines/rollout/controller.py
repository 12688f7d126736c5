"""The rollout: one phase after the other, each of whose actions can be repeated.

The state is written with the routes that it stands for, before it is acted on. So a process that is killed leaves a
state from which the next one continues, and the routes never lead to a chain that is not ready or is being deleted.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kfp_pipelines.cluster.api_server import this_cluster
from kfp_pipelines.rollout.chain import applied, release_of
from kfp_pipelines.rollout.chains import Broken, Chains
from kfp_pipelines.rollout.comparison import Check, compare, overall
from kfp_pipelines.rollout.lease import LEASE_S, Lease
from kfp_pipelines.rollout.objects import Conflict, Object, Objects, Unavailable
from kfp_pipelines.rollout.prometheus import NoMetrics, Prometheus
from kfp_pipelines.rollout.routes import KINDS, routed
from kfp_pipelines.rollout.settings import Place, RolloutSettings
from kfp_pipelines.rollout.state import LAST, STATE, STOP, State, annotations, state_of
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Show = Callable[[str], object]

_POLL_S = 5.0
"""Longest time between two looks at the cluster; a stop takes effect within it, and the lease is renewed."""


_NO_CLUSTER = "Roll a release out in a pod of the cluster, or set KUBECONFIG."


class Reverted(WinnowError):
    """The release was not promoted: the stable chain serves all users, as before; the message is the reason."""


def roll_out(
    release: int,
    place: Place,
    settings: RolloutSettings,
    *,
    client: "ApiClient | None" = None,
    show: Show = print,
    lease_s: int = LEASE_S,
) -> None:
    """Roll a release out, or continue to; returns once the stable chain serves it to all users.

    Args:
        release: its number; its files are in the bucket of the chains.
        place: where the chains are.
        settings: steps, times and bounds.
        client: of the cluster's API; by default of this pod's cluster, or of the kubeconfig.
        show: takes a line for people.
        lease_s: seconds after which another process may take over from one that was killed.

    Raises:
        Reverted: the canary was worse, did not become ready, or was stopped.
        Held: another process rolls a release out.
        WinnowError: the cluster lacks something, or another release's rollout is unfinished.
    """
    objects = Objects(client or this_cluster(_NO_CLUSTER), place.namespace)
    with Lease(objects, place.chain, lease_s) as lease:
        _Rollout(objects, place, settings, show).run(release, lease)


def stop(place: Place, reason: str, client: "ApiClient | None" = None) -> State:
    """Ask for the unfinished rollout to be reverted: the process that works on it, or else the next, does so.

    Returns:
        The state of the rollout.

    Raises:
        WinnowError: there is none, or the stable chain serves its release already.
    """
    objects = Objects(client or this_cluster(_NO_CLUSTER), place.namespace)
    while True:
        route = objects.must("HTTPRoute", place.chain)
        state = state_of(route)
        if state is None or (state.phase == "returning" and not state.reason):
            raise WinnowError(f"no rollout of {place.chain} is under way that could be stopped")
        route["metadata"]["annotations"] = annotations(route) | {STOP: reason}
        try:
            objects.replace(route)
        except Conflict:
            continue
        return state


class _Rollout:
    def __init__(self, objects: Objects, place: Place, settings: RolloutSettings, show: Show) -> None:
        self._objects = objects
        self._place = place
        self._settings = settings
        self._show = show
        self._chains = Chains(objects, place)
        self._prometheus = Prometheus(place.prometheus)
        self._chain: list[Object] = []
        """Of the phase: what has to become ready; empty until it was applied by this process."""
        self._judged: datetime | None = None
        self._said = ""

    def run(self, release: int, lease: Lease) -> None:
        state = self._begin(release)
        self._announce(state)
        poll_s = min(_POLL_S, self._settings.interval_s / 4)
        while True:
            try:
                lease.renew()
                self._write(state)
                following = self._next(state)
            except (Unavailable, Conflict) as passing:
                self._say(f"{passing}; trying again")
                time.sleep(poll_s)
                continue
            if following is None:
                break
            if following == state:
                time.sleep(poll_s)
                continue
            state, self._chain, self._judged = following, [], None
            self._announce(state)
        if state.reason:
            raise Reverted(
                f"release {release} was reverted: {state.reason}. Release {state.previous} serves all users."
            )
        self._show(f"release {release} is promoted: chain {self._place.chain} serves it to all users")

    def _begin(self, release: int) -> State:
        """The unfinished rollout of the release; else a new one, whose state is written."""
        if state := state_of(self._objects.must("HTTPRoute", self._place.chain)):
            if state.release != release:
                raise WinnowError(
                    f"the rollout of release {state.release} is unfinished: continue it with --release "
                    f"{state.release}, or stop it with --stop"
                )
            return state
        if self._chains.has_canary():
            raise WinnowError(
                f"chain {self._place.canary} exists already, without a rollout: delete it first "
                "(kserve_manifests/README.md)"
            )
        previous = release_of(applied(self._objects, self._place.chain))
        if previous == release:
            raise WinnowError(f"chain {self._place.chain} serves release {release} already")
        for kind in KINDS:  # Refused now rather than at the last step.
            if route := self._objects.get(kind, self._place.chain):
                for share in self._settings.steps:
                    self._routed(route, share)
        state = State(release=release, previous=previous, phase="preparing", share=0, since=datetime.now(UTC))
        self._write(state)
        return state

    def _next(self, state: State) -> State | None:
        """Act on a state; returns the following one, the same where nothing has changed, ``None`` at the end."""
        stop = annotations(self._objects.must("HTTPRoute", self._place.chain)).get(STOP)
        if stop is not None and not state.reason and state.phase != "returning":
            return self._back(state, f"it was stopped ({stop})")
        match state.phase:
            case "preparing":
                chain = self._chain = self._chain or self._chains.start_canary(state.release)
                return self._once_ready(chain, state, state.then("serving", self._settings.steps[0]))
            case "serving":
                return self._judge(state)
            case "promoting":
                chain = self._chain = self._chain or self._chains.give_stable(state.release)
                return self._once_ready(chain, state, state.then("returning", self._smaller(state)))
            case "restoring":
                chain = self._chain = self._chain or self._chains.give_stable(state.previous)
                return self._once_ready(chain, state, state.then("returning", 0))
            case "returning" if state.share:
                # In steps, because the stable chain has scaled down: both chains serve the release.
                over = state.seconds() > self._settings.interval_s
                return state.then("returning", self._smaller(state)) if over else state
            case "returning":
                self._chains.remove_canary()
                self._chains.remove_other_jobs(state.previous if state.reason else state.release)
                self._finish(state)
                return None

    def _once_ready(self, chain: list[Object], state: State, following: State) -> State:
        """The following state once a chain is ready; back where it does not become ready."""
        expected = state.previous if state.phase == "restoring" else state.release
        try:
            if self._chains.is_ready(chain, expected):
                return following
            late = state.seconds() > 60 * self._settings.ready_minutes
            problem = f"it was not ready after {self._settings.ready_minutes:g} minutes" if late else ""
        except Broken as broken:
            problem = str(broken)
        if problem and state.phase == "restoring":
            raise WinnowError(
                f"chain {self._place.chain} does not become ready with its previous release {state.previous}: "
                f"{problem}. The canary serves all users meanwhile. Once the cause is fixed, run this again."
            )
        return self._back(state, problem) if problem else state

    def _back(self, state: State, reason: str) -> State:
        """The state that reverts: by way of the stable chain's previous release, where that was changed already."""
        return (
            state.then("restoring", 100, reason) if state.phase == "promoting" else state.then("returning", 0, reason)
        )

    def _judge(self, state: State) -> State:
        now = datetime.now(UTC)
        interval = timedelta(seconds=self._settings.interval_s)
        if now < (self._judged or state.since) + interval:
            return state
        self._judged = now
        try:
            # A canary that turns bad shows in the last interval at once, a slightly bad one in the whole step.
            recent = self._checks(state, max(state.since, now - interval), now)
            whole = self._checks(state, state.since, now)
        except NoMetrics as error:
            recent = whole = [Check("metrics", "unknown", str(error))]
        worse = list({each.name: each for each in whole + recent if each.verdict == "worse"}.values())
        shown = worse or [each for each in whole if each.verdict == "unknown"] or whole
        self._say(f"release {state.release}, {state.share} %: " + "; ".join(map(str, shown)))
        if worse:
            return self._back(state, "; ".join(f"{each.name}: {each.message}" for each in worse))
        if overall(whole) == "fine":
            return self._wider(state)
        if state.seconds() > 3600 * self._settings.step_hours:
            unknown = "; ".join(f"{each.name}: {each.message}" for each in shown)
            return self._back(
                state, f"after {self._settings.step_hours:g} hours it was not known to be as good ({unknown})"
            )
        return state

    def _checks(self, state: State, begin: datetime, end: datetime) -> list[Check]:
        """Compare the chains in a span; a canary that serves all users, with the stable chain in the step before."""
        beside = state.share < 100 or state.before is None
        canary = self._prometheus.counts(self._place.canary, begin, end)
        stable = self._prometheus.counts(
            self._place.chain, *((begin, end) if beside else (state.before or begin, state.since))
        )
        without = self._chains.canary_without_pods()
        pods = [Check("pods", "worse", f"{without} has no available pod")] if without else []
        return pods + compare(canary, stable, self._settings, clicks=beside)

    def _wider(self, state: State) -> State:
        larger = [share for share in self._settings.steps if share > state.share]
        return state.then("serving", larger[0]) if larger else state.then("promoting", 100)

    def _smaller(self, state: State) -> int:
        return max((share for share in self._settings.steps if share < state.share), default=0)

    def _write(self, state: State) -> None:
        """Write the routes of a state, and the state, where they differ; so a change by others is undone."""
        for kind in KINDS:
            route = self._objects.get(kind, self._place.chain)
            if route is None:
                continue
            rules = self._routed(route, state.share)
            changed = route | {"spec": route["spec"] | {"rules": rules}}
            if kind == "HTTPRoute":
                given = annotations(route) | {STATE: state.model_dump_json()}
                changed["metadata"] = route["metadata"] | {"annotations": given}
            if changed != route:
                self._objects.replace(changed)

    def _routed(self, route: Object, share: int) -> list[dict[str, Any]]:
        return routed(route["spec"].get("rules") or [], self._place.chain, self._place.canary, share)

    def _finish(self, state: State) -> None:
        """Replace the state by what became of the rollout."""
        route = self._objects.must("HTTPRoute", self._place.chain)
        outcome = f"reverted: {state.reason}" if state.reason else "promoted"
        kept = {key: value for key, value in annotations(route).items() if key not in (STATE, STOP)}
        kept[LAST] = f"release {state.release} {outcome}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        self._objects.replace(route | {"metadata": route["metadata"] | {"annotations": kept}})

    def _announce(self, state: State) -> None:
        says = {
            "preparing": f"chain {self._place.canary} starts",
            "serving": f"chain {self._place.canary} serves {state.share} % of the users",
            "promoting": f"chain {self._place.chain} gets the release",
            "restoring": f"chain {self._place.chain} gets release {state.previous} back: {state.reason}",
            "returning": f"chain {self._place.chain} serves {100 - state.share} % of the users"
            + (f": {state.reason}" if state.reason else ""),
        }
        self._say(f"release {state.release}: {says[state.phase]}")

    def _say(self, line: str) -> None:
        """Show a line, unless it was the last one."""
        if line != self._said:
            self._said = line
            self._show(line)
