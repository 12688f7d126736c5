"""Do the manifests' thresholds hold the objective in a spike, and do they save money over a day?

Simulated (:mod:`benchmarks.simulation.chain`). Triggers, limits and windows are read from the overlay ``gpu``. The
capacity of a replica was measured on a laptop's two cores. The start-up times and prices of nodes are assumptions, with
the reason below.
"""

import math
from dataclasses import dataclass, replace

from benchmarks.common.rows import Row, row
from benchmarks.simulation.autoscaler import CPU, SYNC_S, Part, part_of, window_s
from benchmarks.simulation.chain import LAG_S, SCRAPE_S, Moment, Replica, Service, Simulation, State, state
from cluster_validation.manifests.objects import Objects, render

OVERLAY, CHAIN = "gpu", "recommender"

CAPACITY = 327.0
"""Requests a second of one transformer on about one core (``benchmarks overload``, decision 14)."""

HALF_P99_S = 0.033
"""p99 of the same benchmark at half the capacity; the model's mean there is 6.1 ms, the measured median 6 to 8 ms."""

LIMIT, BURST = 8, 24
"""``admission.py``: requests in flight that a transformer admits under load, and in a short burst."""

OBJECTIVE_S, OBJECTIVE = 0.1, 0.99
"""The objective of the alerts (base/monitoring): 99 % within 100 ms. Refused or unranked answers miss it, too."""

KINDS = {
    # Ready 4 s after its start (`benchmarks failures`, demo data), plus 20 s for the image and the release folder. Two
    # pods of 1.25 cores fit beside the daemons of a node of 4 cores. Karpenter has a CPU node ready in about a minute.
    "transformer": Replica(CAPACITY, cores=1.0, pod_s=24, node_s=60, per_node=2, keep_s=300, price=0.2016),
    # Beside that transformer, Triton without a GPU used the other of two cores: twice the capacity with the two
    # cores it requests, a low guess for a GPU. Ready 6 s after its start, plus 30 s for the models. A GPU
    # node has its driver in the image, but Triton's image is 20 GiB unpacked: four minutes. One GPU, so one pod.
    "predictor": Replica(2 * CAPACITY, cores=2.0, pod_s=36, node_s=240, per_node=1, keep_s=600, price=0.8048),
}
"""Prices: m7i.xlarge and g6.xlarge on demand (us-east-1, list). ``keep_s`` is Karpenter's ``consolidateAfter``."""

SPIKE, SPIKE_S, BEFORE_S = 5, 1200, 600
DAY_S = 86_400
PEAK = 2500.0
"""Requests a second at the evening peak, which needs most of the allowed replicas."""

NIGHT, PEAK_HOUR, SLENDER = 0.18, 20, 1.5
"""The load at night as a share of the peak; the hour of the peak; exponent that narrows the sine of a day."""


@dataclass(frozen=True)
class Spike:
    """The chain in a spike.

    Attributes:
        settled_s: from the step until the objective holds to the end of the spike.
        p99_s: largest p99 after the stated scale-up time.
        missed: largest missed share after that time.
        refused: refused share of all requests until ``settled_s``.
        plain: share answered without the ranker until ``settled_s``.
    """

    settled_s: int
    p99_s: float
    missed: float
    refused: float
    plain: float


@dataclass(frozen=True)
class Day:
    """The cost and quality of a day.

    Attributes:
        cost: of all nodes, relative to static provisioning for the peak with the shipped targets' headroom.
        bare: of all nodes, relative to the fewest nodes that hold the objective at the peak.
        load: mean / largest.
        late: share of the time with p99 above the objective.
        missed: share of the requests that miss the objective.
    """

    cost: float
    bare: float
    load: float
    late: float
    missed: float


def measure() -> list[Row]:
    """Simulate a spike and a day, and each trigger alone and in a wrong unit.

    Raises:
        ToolMissing: neither kustomize nor kubectl is installed.
    """
    objects = render(OVERLAY)
    parts = shipped(objects)
    allowed = scale_up_s(objects, parts)
    came, passed = spike(objects, parts), day(objects, parts)
    rows = [
        row("stated scale-up time: metrics, node and pod of the slower part", allowed, "s"),
        row(f"{SPIKE} times the load: until the objective holds again", came.settled_s, "s", f"<= {allowed}"),
        row("spike, after the scale-up time: p99", came.p99_s * 1e3, "ms", f"<= {OBJECTIVE_S * 1e3:g}"),
        row("spike, after the scale-up time: missed", came.missed, "share", f"<= {1 - OBJECTIVE:.2g}"),
        row("spike, until then: refused", came.refused, "share"),
        row("spike, until then: answered without the ranker", came.plain, "share"),
        row("day: cost / static provisioning for the peak", passed.cost, "x", "<= 0.6"),
        row("day: cost / static provisioning without any headroom", passed.bare, "x"),
        row("day: mean load / peak, which no autoscaler beats", passed.load, "x"),
        row("day: time with p99 over the objective", passed.late, "share", "<= 0.001"),
        row("day: refused, late or not ranked", passed.missed, "share", f"<= {1 - OBJECTIVE:.2g}"),
    ]
    for part in parts.values():
        for trigger in part.targets:
            label = f"{part.name}, {trigger.removeprefix('winnow:')}"
            only = alone(parts, part.name, trigger)
            low, high = (off(only, part.name, trigger, factor) for factor in (0.001, 1000))
            rows += [
                row(f"{label} alone: until the objective holds again", spike(objects, only).settled_s, "s"),
                row(f"{label} alone, 1000 times too large: the same", spike(objects, high).settled_s, "s"),
                row(f"{label}, 1000 times too small: cost of a day", day(objects, low).cost, "x"),
            ]
    return rows


def shipped(objects: Objects) -> dict[str, Part]:
    """Both parts as the manifests scale them."""
    return {name: part_of(objects, CHAIN, name) for name in KINDS}


def off(parts: dict[str, Part], name: str, trigger: str, factor: float) -> dict[str, Part]:
    """The parts with one target in another unit."""
    part = parts[name]
    return {**parts, name: replace(part, targets={**part.targets, trigger: factor * part.targets[trigger]})}


def alone(parts: dict[str, Part], name: str, trigger: str) -> dict[str, Part]:
    """The parts with one trigger only in one part."""
    return {**parts, name: replace(parts[name], targets={trigger: parts[name].targets[trigger]})}


def scale_up_s(objects: Objects, parts: dict[str, Part]) -> int:
    """The scale-up time of the slower part: a full window of its metrics, a node and a pod."""
    seen = max(_windows(objects, parts).values()) + SCRAPE_S + LAG_S + SYNC_S
    return seen + max(kind.node_s + kind.pod_s for kind in KINDS.values())


def spike(objects: Objects, parts: dict[str, Part]) -> Spike:
    """Simulate half of the capacity of the smallest number of replicas, then a sudden multiple."""
    moments = _run(objects, parts, BEFORE_S + SPIKE_S)[BEFORE_S:]
    bad = [second for second, each in enumerate(moments) if each.state.missed > 1 - OBJECTIVE]
    settled = bad[-1] + 1 if bad else 0
    after = moments[scale_up_s(objects, parts) :]
    ramp = moments[: max(settled, 1)]
    return Spike(
        settled,
        max(each.state.p99_s for each in after),
        max(each.state.missed for each in after),
        sum(each.state.refused for each in ramp) / len(ramp),
        sum(each.state.plain for each in ramp) / len(ramp),
    )


def resting(objects: Objects, parts: dict[str, Part]) -> dict[str, int]:
    """Replicas after ten minutes at the spike's base load."""
    return dict(_run(objects, parts, BEFORE_S)[-1].ready)


def _run(objects: Objects, parts: dict[str, Part], seconds: int) -> list[Moment]:
    least = {name: part.least for name, part in parts.items()}
    base = 0.5 * min(least[name] * kind.capacity for name, kind in KINDS.items())
    return _simulation(objects, parts).run(lambda now: base * (SPIKE if now >= BEFORE_S else 1), seconds, least)


def load_at(second: int) -> float:
    """The load of a day from midnight to midnight, requests a second."""
    turn = 2 * math.pi * (second // SYNC_S * SYNC_S / 3600 - PEAK_HOUR) / 24
    return PEAK * (NIGHT + (1 - NIGHT) * math.pow((1 + math.cos(turn)) / 2, SLENDER))


def day(objects: Objects, parts: dict[str, Part]) -> Day:
    """Simulate a day; the half hour before it lets the replicas settle and does not count."""
    early = 1800
    start = {
        name: min(part.most, max(part.least, math.ceil(load_at(0) / 0.7 / KINDS[name].capacity)))
        for name, part in parts.items()
    }
    moments = _simulation(objects, parts).run(lambda now: load_at(now - early), DAY_S + early, start)[early:]
    asked = sum(each.state.rate for each in moments)
    paid = sum(each.nodes[name] * kind.price for each in moments for name, kind in KINDS.items()) / DAY_S
    return Day(
        paid / _price(with_headroom(objects)),
        paid / _price(without_headroom(objects)),
        asked / DAY_S / PEAK,
        sum(each.state.p99_s > OBJECTIVE_S for each in moments) / DAY_S,
        sum(each.state.rate * each.state.missed for each in moments) / asked,
    )


def with_headroom(objects: Objects) -> dict[str, int]:
    """The fewest replicas with which no shipped target is exceeded at the peak."""
    parts = shipped(objects)
    simulation = _simulation(objects, parts)
    need = {name: part.most for name, part in parts.items()}
    for name, part in parts.items():
        while simulation.within(part, PEAK, {**need, name: need[name] - 1}):
            need[name] -= 1
    return need


def without_headroom(objects: Objects) -> dict[str, int]:
    """The cheapest replicas with which the objective just holds at the peak."""
    parts = shipped(objects)
    holding = [
        need
        for transformers in range(1, parts["transformer"].most + 1)
        for predictors in range(1, parts["predictor"].most + 1)
        if _state(PEAK, need := {"transformer": transformers, "predictor": predictors}).missed <= 1 - OBJECTIVE
    ]
    return min(holding, key=_price)


def _price(replicas: dict[str, int]) -> float:
    return sum(math.ceil(replicas[name] / kind.per_node) * kind.price for name, kind in KINDS.items())


def _windows(objects: Objects, parts: dict[str, Part]) -> dict[str, int]:
    return {name: window_s(objects, name) for part in parts.values() for name in part.targets if name != CPU}


def _simulation(objects: Objects, parts: dict[str, Part]) -> Simulation:
    return Simulation(parts, KINDS, _service(), _windows(objects, parts))


def _state(rate: float, replicas: dict[str, int]) -> State:
    return state(rate, replicas, KINDS, _service())


def _service() -> Service:
    """The service whose p99 at half the capacity is the measured one, including the queue in Triton."""
    plain = Service(1.0, LIMIT, BURST, OBJECTIVE_S)
    half = state(CAPACITY / 2, dict.fromkeys(KINDS, 1), KINDS, plain)
    return replace(plain, tail=HALF_P99_S / half.mean_s)
