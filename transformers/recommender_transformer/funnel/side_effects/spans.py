"""OpenTelemetry spans of a request's stages, created from its trace after the answer has been sent.

The trace holds the start and the duration of every step, so no span is started or ended during the request. The
standard environment variables set the endpoint (``OTEL_EXPORTER_OTLP_ENDPOINT``), the sampling
(``OTEL_TRACES_SAMPLER``) and the service name (``OTEL_SERVICE_NAME``). Without an endpoint the pipeline has no spans.
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
"""Spans are created this long after the answer, so that they do not delay writing it."""

_SHUTDOWN_MS = 2000
"""Time-out of the last export; the SDK's default of 30 s would delay shutdown while the collector is down."""


class Spans:
    """A root span per request, which continues the caller's trace, with a child span per step: ``stage/component``.

    Args:
        provider: samples and exports the spans.
    """

    name = "spans"

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("winnow")
        self._extract = TraceContextTextMapPropagator().extract

    def after(self, query: Query, answer: Answer, shown: Candidates) -> None:
        """Schedule the creation of the spans."""
        attributes: dict[str, str | int] = {
            "winnow.request_id": query.request_id,
            "winnow.release": answer["release"],
            "winnow.k": query.request.k,
            "winnow.shown": len(answer["items"]),
        }
        if "reused_ms" in answer:
            attributes["winnow.reused_ms"] = answer["reused_ms"]
        asyncio.get_running_loop().call_later(
            _WAIT_S,
            self._create,
            query.carrier,
            attributes,
            query.trace.steps,
            query.trace.degraded,
            query.started,
            perf_counter(),
        )

    async def flush(self) -> None:
        """Wait for scheduled spans, and export them."""
        await asyncio.sleep(2 * _WAIT_S)
        await asyncio.to_thread(self._provider.shutdown)

    def _create(
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
        # A request that is not sampled needs no child spans.
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
    """The component if the environment sets an endpoint; otherwise an empty tuple."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return ()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class PromptShutdown(BatchSpanProcessor):
        def shutdown(self) -> None:
            self._batch_processor.shutdown(_SHUTDOWN_MS)

    # The environment's attributes are merged last, so that they take precedence.
    resource = Resource.create({SERVICE_NAME: _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(PromptShutdown(OTLPSpanExporter()))
    return (Spans(provider),)
