"""Decides when a component's fallback replaces its result.

A fallback is used when the component raises, when it has not finished by its stage's share of the deadline, or while
its circuit breaker is open. So an answer is never late, and never missing, because of one component. In one more case
``funnel.retrieval`` uses a source's fallback: when another source that it needs has not answered.
"""

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from types import CoroutineType
from typing import TypeVar, cast

import grpc.aio
from prometheus_client import Counter

from recommender_transformer.backends.breaker import Breaker
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result
from winnow.store.connection import RedisError

log = logging.getLogger(__name__)

DEADLINE_SHARES = {"query_hydrators": 0.25, "sources": 0.6, "item_hydrators": 0.75, "scorers": 0.95}
"""Share of the deadline by which each stage that waits for another process must have finished."""

_FAIR_S = 0.02
"""A time-out counts against the circuit breaker only if the component had at least this long; otherwise the deadline
was too short to say anything about it."""

_OVERDUE_S = 0.02
"""A time-out that the event loop reports later than this does not count: this process was slow, not the component."""

_DEGRADED = Counter("winnow_degraded_total", "Fallbacks used because a component was late or failed.", ("component",))

T = TypeVar("T")


class _CircuitOpen(Exception):
    """The circuit breaker does not admit the call."""


class Fallbacks:
    """Runs components, each with its deadline, its circuit breaker and its fallback.

    Args:
        pipeline: the components, those of its forms included. Components of one name share a circuit breaker.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._breakers = {
            name: Breaker(name)
            for name in dict.fromkeys(
                component.name
                for funnel in (pipeline, *pipeline.forms.values())
                for stage in DEADLINE_SHARES
                for component in getattr(funnel, stage)
            )
        }
        # Export the counters at 0: a series that begins with its first failure has no rate for it.
        for name in self._breakers:
            _DEGRADED.labels(name)

    async def attempt(
        self,
        query: Query,
        stage: str,
        component: str,
        work: Callable[[], Result[T]],
        fallback: Callable[[], T],
        given: int = 0,
        size: Callable[[T], int] | None = None,
    ) -> T:
        """Run a component; return its result, or its fallback's if it fails or is late.

        Args:
            query: holds the deadline and receives the trace.
            stage: a key of :data:`DEADLINE_SHARES`.
            component: the component's name.
            work: runs the component.
            fallback: returns the result to use instead.
            given: number of candidates that the component receives, for the trace.
            size: number of candidates in a result, for the trace; ``given`` without it.
        """
        started = perf_counter()
        due_s = DEADLINE_SHARES[stage] * query.deadline_s
        timeout_s = query.started + due_s - started
        breaker = self._breakers[component]
        result: T
        try:
            if not breaker.admits():
                raise _CircuitOpen
            answer = work()
            if isinstance(answer, CoroutineType):
                async with asyncio.timeout(timeout_s):
                    result = await answer
            else:
                result = cast(T, answer)
            breaker.succeeded()
        except _CircuitOpen:
            result = _degrade(query, component, "circuit open", fallback)
        except TimeoutError:
            had_time, reported_late = timeout_s >= _FAIR_S, perf_counter() - started - timeout_s >= _OVERDUE_S
            if had_time and not reported_late:
                breaker.failed()
            result = _degrade(query, component, f"no answer within {due_s * 1000:.0f} ms", fallback)
        except grpc.aio.AioRpcError as error:
            breaker.failed()
            result = _degrade(query, component, error.code().name, fallback)
        except (RedisError, OSError) as error:
            breaker.failed()
            result = _degrade(query, component, type(error).__name__, fallback)
        except Exception as error:
            # A bug in one component must not fail the request; the log keeps the traceback.
            log.warning("%s failed", component, exc_info=error)
            result = _degrade(query, component, type(error).__name__, fallback)
        query.trace.end_step(stage, component, started, given, given if size is None else size(result))
        return result


def _degrade(query: Query, component: str, reason: str, fallback: Callable[[], T]) -> T:
    _DEGRADED.labels(component).inc()
    query.trace.degraded.append(f"{component}: {reason}")
    return fallback()
