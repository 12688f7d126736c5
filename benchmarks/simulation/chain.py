"""A simulated chain under a changing load: latency, refusals, replicas and nodes, second by second.

A model, not a measurement. A replica is one server that works on all its requests at once (M/M/1 with processor
sharing: Kleinrock, Queueing Systems II, 4.4): at utilisation r the mean time is S / (1 - r) and r / (1 - r) requests
are in flight, S being a second's share of the capacity. The limit on requests in flight refuses like M/M/1/K. Times are
exponential except for the factor between p99 and mean, which is set so that half the capacity gives the measured p99.
Triton is modelled alike; requests beyond its capacity are answered without the ranker. Load is spread evenly, replicas
are equal, nothing fails, and refused clients do not retry.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.simulation.autoscaler import CPU, SYNC_S, Autoscaler, Part

SCRAPE_S = 15
"""Scrape interval of the PodMonitors; rules are evaluated as often."""

LAG_S = SCRAPE_S
"""Largest age of the newest sample when a rule is evaluated."""


@dataclass(frozen=True)
class Replica:
    """A replica of a part, and the cost of one more.

    Attributes:
        capacity: requests a second.
        cores: used at its capacity.
        pod_s: from scheduling until it is ready.
        node_s: from the request of a node until pods can be scheduled on it.
        per_node: replicas that fit on one node.
        keep_s: time that an empty node is kept.
        price: of a node, dollars an hour.
    """

    capacity: float
    cores: float
    pod_s: int
    node_s: int
    per_node: int
    keep_s: int
    price: float


@dataclass(frozen=True)
class Service:
    """The service of the chain.

    Attributes:
        tail: p99 / mean of the time.
        limit: requests in flight in one transformer.
        burst: the same without a shortage of capacity.
        objective_s: slower answers miss the objective.
    """

    tail: float
    limit: int
    burst: int
    objective_s: float


@dataclass(frozen=True)
class State:
    """The chain at one time.

    Attributes:
        rate: incoming requests a second.
        refused: share of them.
        plain: share of the admitted ones answered without the ranker.
        mean_s: mean time of an answer.
        p99_s: p99 of the time of an answer.
        queue_s: queueing time in Triton.
        busy: utilisation by part.
        tritons: number of replicas of Triton.
        missed: share of all requests that is not answered completely within the objective.
    """

    rate: float
    refused: float
    plain: float
    mean_s: float
    p99_s: float
    queue_s: float
    busy: Mapping[str, float]
    tritons: int
    missed: float


def state(rate: float, replicas: Mapping[str, int], kinds: Mapping[str, Replica], service: Service) -> State:
    """The state under a load with a number of replicas of each part."""
    transformer, predictor = kinds["transformer"], kinds["predictor"]
    load = rate / replicas["transformer"] / transformer.capacity
    refused, under_way = _limited(load, service.burst if load < 1 else service.limit)
    answered = rate * (1 - refused)
    busy = answered / replicas["predictor"] / predictor.capacity
    # Requests without a timely ranking are not delayed for long: the circuit breaker opens.
    ranked = min(busy, _FULL)
    queue_s = ranked / (1 - ranked) / predictor.capacity
    plain = max(0.0, 1 - _FULL / busy)
    mean_s = under_way * replicas["transformer"] / answered + queue_s
    late = math.exp(-_LN_100 * service.objective_s / (mean_s * service.tail))
    return State(
        rate,
        refused,
        plain,
        mean_s,
        mean_s * service.tail,
        queue_s,
        {"transformer": load * (1 - refused), "predictor": min(busy, 1.0)},
        replicas["predictor"],
        1 - (1 - refused) * (1 - plain) * (1 - late),
    )


_FULL = 0.95
"""Largest utilisation at which Triton answers within the ranker's share of the deadline."""

_LN_100 = math.log(100)


def _limited(load: float, most: int) -> tuple[float, float]:
    """Refused share and mean number in flight of M/M/1/K."""
    if abs(load - 1) < 1e-9:
        return 1 / (most + 1), most / 2
    power = load ** (most + 1)
    return (1 - load) * load**most / (1 - power), load / (1 - load) - (most + 1) * power / (1 - power)


def quantile(parts: list[tuple[float, float]]) -> float:
    """p99 of a mix of exponential times: pairs of weight and p99."""
    low, high = 0.0, max(p99 for _, p99 in parts)
    goal = 0.01 * sum(weight for weight, _ in parts)
    for _ in range(24):
        middle = (low + high) / 2
        above = sum(weight * math.exp(-_LN_100 * middle / p99) for weight, p99 in parts)
        low, high = (middle, high) if above > goal else (low, middle)
    return high


@dataclass
class Pool:
    """The pods of one part and their nodes.

    Attributes:
        kind: of the replicas.
        replicas: requested number.
        nodes: that are paid for.
    """

    kind: Replica
    replicas: int
    nodes: int = 0
    _ready_at: list[int] = field(default_factory=list)
    _node_at: list[int] = field(default_factory=list)
    _spare_since: int | None = None

    def __post_init__(self) -> None:
        self._ready_at = [0] * self.replicas
        self._node_at = [0] * self._needed()
        self.nodes = len(self._node_at)

    def _needed(self) -> int:
        return math.ceil(self.replicas / self.kind.per_node)

    def ready(self, now_s: int) -> int:
        """Ready replicas."""
        return sum(at <= now_s for at in self._ready_at)

    def scale(self, now_s: int, replicas: int) -> None:
        """Scale to a number of pods: new ones fill existing nodes before new nodes; the youngest are removed first."""
        for number in range(self.replicas, replicas):
            node = number // self.kind.per_node
            if node == len(self._node_at):
                self._node_at.append(now_s + self.kind.node_s)
            self._ready_at.append(max(now_s, self._node_at[node]) + self.kind.pod_s)
        del self._ready_at[replicas:]
        self.replicas = replicas

    def tick(self, now_s: int) -> None:
        """Remove nodes that have been empty for longer than ``keep_s``."""
        if self._needed() == len(self._node_at):
            self._spare_since = None
        elif self._spare_since is None:
            self._spare_since = now_s
        elif now_s - self._spare_since >= self.kind.keep_s:
            del self._node_at[self._needed() :]
        self.nodes = len(self._node_at)


@dataclass(frozen=True)
class Moment:
    """One second of a simulation: the state, and by part the ready replicas and the paid nodes."""

    state: State
    ready: Mapping[str, int]
    nodes: Mapping[str, int]


Series = Callable[[list[State], Mapping[str, int]], float]
"""The value of a recorded series from the samples in its window and the reporting replicas."""

SERIES: dict[str, Series] = {
    "winnow:request_seconds:p99_times_replicas": lambda seen, ready: (
        quantile([(each.rate * (1 - each.refused), each.p99_s) for each in seen]) * ready["transformer"]
    ),
    "winnow:requests_wanted:total": lambda seen, ready: sum(each.rate * each.mean_s for each in seen) / len(seen),
    "winnow:triton_queue_us:mean_times_replicas": lambda seen, ready: (
        1e6
        * sum(each.queue_s * each.rate * (1 - each.refused) for each in seen)
        / sum(each.rate * (1 - each.refused) for each in seen)
        * ready["predictor"]
    ),
    "winnow:triton_work_us:total": lambda seen, ready: (
        1e6 * sum(each.busy["predictor"] * each.tritons for each in seen) / len(seen)
    ),
}
"""The values of the manifests' queries, in their units."""


@dataclass
class Simulation:
    """A simulation of a chain, second by second.

    Args:
        parts: scaling settings of each part.
        kinds: replica of each part.
        service: of the chain.
        windows: seconds of the window of each trigger's series.
    """

    parts: Mapping[str, Part]
    kinds: Mapping[str, Replica]
    service: Service
    windows: Mapping[str, int]

    def run(self, rate: Callable[[int], float], seconds: int, replicas: Mapping[str, int]) -> list[Moment]:
        """Run from a number of replicas, under a rate that is a function of the second."""
        pools = {name: Pool(self.kinds[name], replicas[name]) for name in self.parts}
        scalers = {name: Autoscaler(part) for name, part in self.parts.items()}
        samples: deque[State] = deque(maxlen=max(self.windows.values(), default=0) // SCRAPE_S + 1 + LAG_S // SCRAPE_S)
        moments: list[Moment] = []
        known: tuple[float, ...] = ()
        for now in range(seconds):
            ready = {name: pool.ready(now) for name, pool in pools.items()}
            if (rate(now), *ready.values()) != known:
                known = (rate(now), *ready.values())
                current = state(known[0], ready, self.kinds, self.service)
            if now % SCRAPE_S == 0:
                samples.append(current)
            if now % SYNC_S == 0:
                for name, pool in pools.items():
                    values = self._values(self.parts[name], samples, ready)
                    pool.scale(now, scalers[name].decide(now, values, ready[name], pool.replicas))
                    pool.tick(now)
            moments.append(Moment(current, ready, {name: pool.nodes for name, pool in pools.items()}))
        return moments

    def within(self, part: Part, rate: float, replicas: Mapping[str, int]) -> bool:
        """Whether a part stays at its number of replicas under a constant load."""
        settled = deque([state(rate, replicas, self.kinds, self.service)] * 2)
        values = self._values(part, settled, replicas)
        totals = {name: (value or 0.0) / (1 if name == CPU else replicas[part.name]) for name, value in values.items()}
        return all(totals[name] <= target for name, target in part.targets.items())

    def _values(self, part: Part, samples: deque[State], ready: Mapping[str, int]) -> dict[str, float | None]:
        old = list(samples)[: -(LAG_S // SCRAPE_S)]
        values: dict[str, float | None] = {}
        for name in part.targets:
            if name == CPU:
                share = self.kinds[part.name].cores / part.cores
                values[name] = old[-1].busy[part.name] * share if old else None
            else:
                seen = old[-(self.windows[name] // SCRAPE_S) :]
                values[name] = SERIES[name](seen, ready) if seen else None
        return values
