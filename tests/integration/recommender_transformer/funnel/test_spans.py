"""OpenTelemetry spans, as a collector receives them from the server's process."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tritonclient.grpc import service_pb2 as pb

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.funnel.side_effects.spans import Spans
from recommender_transformer.pipeline import recommender
from tests.support.transformer_server import serving
from tests.support.until import until
from winnow.release import Release
from winnow.request import RecommendRequest

STAGES = {
    "query_hydrators/user_state",
    "query_hydrators/objectives",
    "sources/retriever",
    "sources/covisitation",
    "sources/trending",
    "item_hydrators/item_rows",
    "filters/seen",
    "filters/available",
    "filters/request",
    "filters/rules",
    "filters/disliked",
    "filters/disliked_category",
    "filters/unlikely",
    "scorers/ranker",
    "scorers/value",
    "orderers/mmr",
}
PARENT = "00f067aa0ba902b7"


@dataclass
class Collector:
    """An OTLP/HTTP collector that keeps every request."""

    received: list[tuple[str, ExportTraceServiceRequest]] = field(default_factory=list)
    port: int = 0

    def spans(self, trace_id: str) -> dict[str, Any]:
        """The spans of a trace by name."""
        return {
            span.name: span
            for _, request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == trace_id
        }

    def whole(self, trace_id: str) -> dict[str, Any]:
        """The spans of a trace, once its root has arrived."""
        until(lambda: "recommend" in self.spans(trace_id))
        return self.spans(trace_id)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """No log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


Serving = Callable[[Path, int, str], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, redis_url: str, collector: Collector) -> Iterator[Any]:
    """Release 6010, served with the collector's address in the environment."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        environment.setenv("NO_PROXY", "127.0.0.1")
        with serving(tmp_path_factory.mktemp("traced"), 6010, redis_url) as running:
            yield running


def traceparent(trace_id: str, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-{'01' if sampled else '00'}"}


def ask(server: Any, trace_id: str, sampled: bool = True, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"instances": [{"user_id": "user-3", "k": 5, **fields}]}).encode()
    status, answer = server.post("/v1/models/recommender:predict", body, traceparent(trace_id, sampled))
    assert status == 200
    return answer["predictions"][0]


def test_a_request_continues_the_callers_trace(traced: Any, collector: Collector) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    before = time.time_ns()
    answer = ask(traced, trace_id, debug=True)
    spans = collector.whole(trace_id)
    root = spans.pop("recommend")
    assert set(spans) == STAGES == {f"{s['stage']}/{s['component']}" for s in answer["trace"]["stages"]}
    assert root.parent_span_id.hex() == PARENT
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}
    assert before <= root.start_time_unix_nano < root.end_time_unix_nano <= time.time_ns()
    for step in answer["trace"]["stages"]:
        span = spans[f"{step['stage']}/{step['component']}"]
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
        assert (span.start_time_unix_nano - root.start_time_unix_nano) / 1e6 == pytest.approx(step["at"], abs=0.01)
        assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 == pytest.approx(step["ms"], abs=0.01)
        counts = {attribute.key: attribute.value.int_value for attribute in span.attributes}
        assert counts == {"winnow.in": step["in"], "winnow.out": step["out"]}
    attributes = {attribute.key: attribute.value for attribute in root.attributes}
    assert attributes["winnow.request_id"].string_value == answer["request_id"]
    assert attributes["winnow.release"].int_value == 6010
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    [resource] = {
        attribute.value.string_value
        for _, request in collector.received
        for part in request.resource_spans
        for attribute in part.resource.attributes
        if attribute.key == "service.name"
    }
    assert resource == "winnow-transformer"


def test_grpc_metadata_continues_a_trace_too(traced: Any, collector: Collector) -> None:
    trace_id = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"
    request = pb.ModelInferRequest(model_name="recommender")
    request.inputs.add(name="user_id", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"user-3")
    traced.infer(request, metadata=tuple(traceparent(trace_id).items()))
    spans = collector.whole(trace_id)
    assert set(spans) == {*STAGES, "recommend"}
    assert spans["recommend"].parent_span_id.hex() == PARENT


def test_an_unsampled_trace_is_not_exported(traced: Any, collector: Collector) -> None:
    left_out, later = "1" * 32, "2" * 32
    ask(traced, left_out, sampled=False)
    ask(traced, later)
    collector.whole(later)
    assert not collector.spans(left_out)


def test_a_broken_traceparent_starts_a_new_trace(traced: Any, collector: Collector) -> None:
    held = len(collector.received)
    status, _ = traced.post(
        "/v1/models/recommender:predict", b'{"instances":[{"user_id":"user-3"}]}', {"traceparent": "nonsense"}
    )
    assert status == 200
    until(lambda: len(collector.received) > held)


def test_an_unreachable_collector_delays_neither_answers_nor_shutdown(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with serving(tmp_path, 6011, redis_url) as running:
        for number in range(20):
            assert running.v1({"user_id": f"user-{number}", "k": 5})[0] == 200
        time.sleep(0.2)
        running.process.terminate()
        assert running.process.wait(timeout=30) == 0


def test_a_failed_component_is_an_error_span(published: Release, redis_url: str, models: Any) -> None:
    models.broken = {"ranker"}
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def run() -> None:
        store = OnlineStore(published, redis_url)
        pipeline = replace(recommender(published, store, models), side_effects=(Spans(provider),))
        runner = Runner(pipeline, store.cold_start_state, 2000)
        [query] = await runner.admit([RecommendRequest(user_id="user-3", k=5)], "test")
        await runner.recommend(query)
        await asyncio.sleep(0.2)
        await runner.close()
        await store.close()

    asyncio.run(run())
    spans = {span.name: span for span in exporter.get_finished_spans()}
    wrong = {name: span.status.description for name, span in spans.items() if not span.status.is_ok}
    assert wrong == {"scorers/ranker": "ConnectionError"}
    assert spans["recommend"].attributes["winnow.degraded"] == ("ranker: ConnectionError",)


def test_the_span_of_a_reused_answer_has_its_age_and_no_later_stages(
    published: Release, redis_url: str, models: Any
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def run() -> None:
        store = OnlineStore(published, redis_url)
        pipeline = recommender(published, store, models, reuse_s=5.0)
        runner = Runner(
            replace(pipeline, side_effects=(*pipeline.side_effects, Spans(provider))), store.cold_start_state, 2000
        )
        for request_id in ("computed", "reused"):
            [query] = await runner.admit([RecommendRequest(user_id="user-3", k=5)], request_id)
            await runner.recommend(query)
        await runner.close()
        await store.close()

    asyncio.run(run())
    spans = exporter.get_finished_spans()
    roots = {span.attributes["winnow.request_id"]: span for span in spans if span.name == "recommend"}
    assert "winnow.reused_ms" not in roots["computed"].attributes
    assert roots["reused"].attributes["winnow.reused_ms"] < 2000
    inside = [span.name for span in spans if span.context.trace_id == roots["reused"].context.trace_id]
    assert inside == ["query_hydrators/user_state", "recommend"]


def test_without_an_endpoint_there_is_no_span_component(
    published: Release, redis_url: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    pipeline = recommender(published, OnlineStore(published, redis_url), models)
    assert "spans" not in [effect.name for effect in pipeline.side_effects]
