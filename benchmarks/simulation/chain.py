"""A chain under a load that changes: who answers how late, and which replicas and nodes come when.

A model, not a measurement. A replica is one server that works on all its requests at once (M/M/1 with processor
sharing: Kleinrock, Queueing Systems II, 4.4): at utilisation r the mean time is S / (1 - r) and r / (1 - r) requests
are under way, S being a second's share of the capacity. The limit on requests in flight refuses as M/M/1/K does. Times
are taken as exponential but for the factor between p99 and mean, which is set so that half the capacity gives the p99
that was measured there. Triton is the same, and what its replicas cannot take is answered without the ranker. Load is
spread evenly, replicas are equal, nothing fails, and clients that are refused do not come again.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.simulation.autoscaler import CPU, SYNC_S, Autoscaler, Part

SCRAPE_S = 15
"""Of the PodMonitors; the rules are evaluated as often."""

LAG_S = SCRAPE_S
"""How old the newest sample is when a rule has been evaluated over it, at worst."""


@dataclass(frozen=True)
class Replica:
    """What one replica of a part can do, and what it takes to have one more.

    Attributes:
        capacity: requests a second.
        cores: that it uses at its capacity.
        pod_s: from being put on a node until it is ready.
        node_s: from the wish for a node until a pod can be put on it.
        per_node: how many fit on one.
        keep_s: how long an empty node stays.
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
    """How the chain answers.

    Attributes:
        tail: p99 / mean of the time.
        limit: requests in flight in one transformer.
        burst: so many, where it is not short of capacity.
        objective_s: an answer that takes longer is missed.
    """

    tail: float
    limit: int
    burst: int
    objective_s: float


@dataclass(frozen=True)
class State:
    """One moment.

    Attributes:
        rate: requests a second that come.
        refused: share of them.
        plain: share of the others that is answered without the ranker.
        mean_s: time of an answer.
        p99_s: time of an answer.
        queue_s: waiting in Triton.
        busy: utilisation by part.
        tritons: that were there.
        missed: share of all that is not answered within the objective and in full.
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
    """How a load is answered by so many replicas of each part."""
    transformer, predictor = kinds["transformer"], kinds["predictor"]
    load = rate / replicas["transformer"] / transformer.capacity
    refused, under_way = _limited(load, service.burst if load < 1 else service.limit)
    answered = rate * (1 - refused)
    busy = answered / replicas["predictor"] / predictor.capacity
    # What is not ranked in time holds nobody up for long: a circuit breaker spares it.
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
"""Busier than this Triton answers too late for the ranker's share of the deadline."""

_LN_100 = math.log(100)


def _limited(load: float, most: int) -> tuple[float, float]:
    """Share that is refused and mean number under way, of M/M/1/K."""
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
    """The pods of one part and the nodes they are on.

    Attributes:
        kind: of replica.
        replicas: that there shall be.
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
        """Replicas that answer."""
        return sum(at <= now_s for at in self._ready_at)

    def scale(self, now_s: int, replicas: int) -> None:
        """Have so many: new pods fill the nodes that are there before they wait for new ones; the youngest go first."""
        for number in range(self.replicas, replicas):
            node = number // self.kind.per_node
            if node == len(self._node_at):
                self._node_at.append(now_s + self.kind.node_s)
            self._ready_at.append(max(now_s, self._node_at[node]) + self.kind.pod_s)
        del self._ready_at[replicas:]
        self.replicas = replicas

    def tick(self, now_s: int) -> None:
        """Give back nodes that have been empty for long enough."""
        if self._needed() == len(self._node_at):
            self._spare_since = None
        elif self._spare_since is None:
            self._spare_since = now_s
        elif now_s - self._spare_since >= self.kind.keep_s:
            del self._node_at[self._needed() :]
        self.nodes = len(self._node_at)


@dataclass(frozen=True)
class Moment:
    """What was at one second: the state, and by part the replicas that were ready and the nodes that were paid for."""

    state: State
    ready: Mapping[str, int]
    nodes: Mapping[str, int]


Series = Callable[[list[State], Mapping[str, int]], float]
"""A recorded series: from the samples in its window and the replicas that report."""

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
"""What the manifests' queries mean, in their units."""


@dataclass
class Simulation:
    """A chain, second by second.

    Args:
        parts: how each is scaled.
        kinds: what a replica of each can do.
        service: how the chain answers.
        windows: seconds that each trigger's series looks back.
    """

    parts: Mapping[str, Part]
    kinds: Mapping[str, Replica]
    service: Service
    windows: Mapping[str, int]

    def run(self, rate: Callable[[int], float], seconds: int, replicas: Mapping[str, int]) -> list[Moment]:
        """From a number of replicas on, under a rate that is a function of the second."""
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
        """Whether a part would want no more replicas under a load that stays."""
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
