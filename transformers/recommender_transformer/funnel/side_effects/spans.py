"""A request's stages as OpenTelemetry spans, made after its answer has left from what the trace holds anyway.

Nothing is started or ended on the way: the runner's steps know when they began and how long they took. The standard
variables say where the spans go (``OTEL_EXPORTER_OTLP_ENDPOINT``), how many (``OTEL_TRACES_SAMPLER``) and under which
name (``OTEL_SERVICE_NAME``); without an endpoint there is no such component.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from time import perf_counter, perf_counter_ns, time_ns
from typing import TYPE_CHECKING

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.trace import Step
from winnow.request import Answer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ROOT = "recommend"

_SERVICE = "winnow-transformer"
_WAIT_S = 0.05
"""Spans are made this much later, out of the way of the answer that is being written."""

_LAST_MS = 2000
"""How long the last spans may take at the end; the SDK would wait half a minute for a collector that is away."""


class Spans:
    """One root span a request, continuing the caller's trace, and below it a span per turn: ``stage/component``.

    Args:
        provider: samples and exports them.
    """

    name = "spans"

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("winnow")
        self._extract = TraceContextTextMapPropagator().extract

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Take note; all else happens later."""
        attributes: dict[str, str | int] = {
            "winnow.request_id": query.request_id,
            "winnow.release": answer["release"],
            "winnow.k": query.request.k,
            "winnow.shown": len(answer["items"]),
        }
        asyncio.get_running_loop().call_later(
            _WAIT_S,
            self._make,
            query.carrier,
            attributes,
            query.trace.steps,
            query.trace.degraded,
            query.started,
            perf_counter(),
        )

    async def flush(self) -> None:
        """Wait for the last spans, and export them."""
        await asyncio.sleep(2 * _WAIT_S)
        await asyncio.to_thread(self._provider.shutdown)

    def _make(
        self,
        carrier: Mapping[str, str],
        attributes: dict[str, str | int],
        steps: list[Step],
        degraded: list[str],
        started: float,
        ended: float,
    ) -> None:
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        since_epoch = time_ns() - perf_counter_ns()

        def at(moment: float) -> int:
            return since_epoch + int(moment * 1e9)

        context = self._extract(carrier)
        root = self._tracer.start_span(
            ROOT,
            context,
            SpanKind.SERVER,
            {**attributes, "winnow.degraded": degraded},
            start_time=at(started),
        )
        # One that is not sampled costs no more than the question.
        if not root.is_recording():
            return
        inside = set_span_in_context(root, context)
        reasons = {component: reason for component, _, reason in (entry.partition(": ") for entry in degraded)}
        for step in steps:
            counts = {"winnow.in": step.given, "winnow.out": step.kept}
            span = self._tracer.start_span(
                f"{step.stage}/{step.component}", inside, attributes=counts, start_time=at(step.started)
            )
            if step.component in reasons:
                span.set_status(StatusCode.ERROR, reasons[step.component])
            span.end(at(step.started + step.ms / 1000))
        root.end(at(ended))


def spans() -> tuple[Spans, ...]:
    """The component, where the environment names an endpoint; else nothing."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return ()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Prompt(BatchSpanProcessor):
        def shutdown(self) -> None:
            self._batch_processor.shutdown(_LAST_MS)

    # What the environment says of the resource comes last, and so wins.
    resource = Resource.create({SERVICE_NAME: _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(Prompt(OTLPSpanExporter()))
    return (Spans(provider),)
