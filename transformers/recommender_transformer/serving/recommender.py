"""The ``recommender`` model of the KServe server: the funnel behind HTTP v1, HTTP v2 and gRPC v2."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, TypeVar

from kserve import InferOutput, InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ModelNotReady  # type: ignore[import-untyped]
from kserve.metrics import (  # type: ignore[import-untyped]
    POST_HIST_TIME,
    PRE_HIST_TIME,
    PREDICT_HIST_TIME,
    get_labels,
)

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.protocols import answers as encoding
from recommender_transformer.serving.protocols import codec
from winnow.request import Answer, InvalidRequest, RecommendRequest, parse_all, quote

NAME = "recommender"

_MAX_ID_LENGTH = 128
_TRACE_HEADERS = ("traceparent", "tracestate")

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A parsed call.

    Attributes:
        requests: its requests, which keep to the contract.
        request_id: its id: the caller's, or a new one.
        carrier: its W3C trace headers; empty without a trace.
        tensors: the v2 call; `None` for v1.
    """

    requests: list[RecommendRequest]
    request_id: str
    carrier: Mapping[str, str]
    tensors: InferRequest | None

    @property
    def width(self) -> int:
        """Length of a list in the output tensors."""
        return max(request.k for request in self.requests)


@dataclass(frozen=True)
class Batch:
    """The queries of one call.

    Attributes:
        queries: one query per request, each with its candidates.
        call: the call.
    """

    queries: list[tuple[Query, Candidates]]
    call: Call


class NotReady(ModelNotReady):  # type: ignore[misc]
    """The funnel is not connected yet. KServe's gRPC server reads ``reason``, which its own error lacks."""

    @property
    def reason(self) -> str:
        """The message."""
        return str(self)


class RecommenderModel(ConnectedModel[Runner]):
    """Answers recommendation requests, in three stages: ``preprocess``, ``predict`` and ``postprocess``.

    KServe calls the stages in turn; ``serving.direct_http`` and ``serving.direct_grpc``, which serve nearly all
    requests, call :meth:`parse` and :meth:`recommend`, which run the same ones.

    Args:
        release: number of the release.
        connect: creates the runner; called inside the server's event loop, as the clients of Redis and Triton require.
    """

    def __init__(self, release: int, connect: Callable[[], Awaitable[Runner]]) -> None:
        super().__init__(NAME, connect)
        self._release = release
        stages = (PRE_HIST_TIME, PREDICT_HIST_TIME, POST_HIST_TIME)
        self._seconds = [stage.labels(**get_labels(NAME)) for stage in stages]

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.REQUEST_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [
            {"name": "item_ids", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "answer", "datatype": "BYTES", "shape": [-1]},
        ]

    def parse(self, payload: object, headers: Mapping[str, str]) -> Call:
        """Check a call.

        Args:
            payload: the decoded call: JSON for v1, an ``InferRequest`` for v2, which gets the call's id.
            headers: its headers.

        Raises:
            InvalidRequest: the call violates the contract; the message names the field.
            NotReady: it asks for a further page, and the funnel is not connected yet.
        """
        tensors = payload if isinstance(payload, InferRequest) else None
        if tensors is not None and tensors.model_version not in (None, "", str(self._release)):
            raise InvalidRequest(
                f"model_version: this server is pinned to release {self._release}, got {quote(tensors.model_version)}"
            )
        codec.check_outputs(tensors, encoding.NAMES)
        instances = codec.instances(payload, codec.REQUEST_TENSORS, codec.REQUEST_LEADING)
        requests = self._whole(parse_all(RecommendRequest, instances))
        return Call(requests, _request_id(tensors, headers), _carrier(headers), tensors)

    async def recommend(self, call: Call) -> list[Answer]:
        """The answers to a parsed call, one per request. KServe's histograms get the seconds of each stage.

        Raises:
            InvalidInput: content cannot be decoded, or a request names what the release lacks.
            NotReady: the funnel is not connected yet.
        """
        retrieving, scoring, ordering = self._seconds
        with retrieving.time():
            batch = await self._retrieve(call)
        with scoring.time():
            await self.predict(batch)
        with ordering.time():
            return self._answers(batch)

    def header(self, call: Call) -> encoding.Header:
        """What a v2 response to a call says about itself."""
        return encoding.Header(self.name, str(self._release), call.request_id)

    async def preprocess(self, payload: object, headers: Mapping[str, str] | None = None) -> Batch:
        """Check the call, then retrieve candidates: everything up to the scorers."""
        try:
            call = self.parse(payload, headers or {})
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        return await self._retrieve(call)

    async def predict(
        self, payload: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Batch:
        """Score the candidates."""
        runner = self.backend
        assert runner is not None
        await _all([runner.score(query, candidates) for query, candidates in payload.queries])
        return payload

    async def postprocess(
        self, result: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, list[Answer]] | InferResponse:
        """Order the candidates, and encode the answers in the protocol of the call."""
        call, answers = result.call, self._answers(result)
        if call.tensors is None:
            return {"predictions": answers}
        outputs = [
            InferOutput(name=one.name, shape=one.shape, datatype=one.datatype, data=one.data)
            for one in encoding.tensors(answers, call.width)
        ]
        return codec.response(call.tensors, self.name, self._release, outputs)

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Refused."""
        raise InvalidInput("explain: is not supported; send a prediction request with debug: true")

    def _whole(self, requests: list[RecommendRequest]) -> list[RecommendRequest]:
        """The requests; those of further pages with the fields of the first page."""
        if all(request.recommendation_id is None for request in requests):
            return requests
        if self.backend is None:
            raise NotReady(self.name)
        return [self.backend.whole(request, f"instances[{n}]") for n, request in enumerate(requests)]

    async def _retrieve(self, call: Call) -> Batch:
        runner = self.backend
        if runner is None:
            raise NotReady(self.name)
        try:
            queries = await runner.admit(call.requests, call.request_id, call.carrier)
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        candidates = await _all([runner.retrieve(query) for query in queries])
        return Batch(list(zip(queries, candidates, strict=True)), call)

    def _answers(self, batch: Batch) -> list[Answer]:
        runner = self.backend
        assert runner is not None
        return [runner.answer(query, candidates) for query, candidates in batch.queries]


async def _all(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of ``work``, which runs concurrently; a single coroutine needs no task of its own."""
    return [await work[0]] if len(work) == 1 else await asyncio.gather(*work)


def _carrier(headers: Mapping[str, str]) -> dict[str, str]:
    """The caller's W3C trace headers; empty without a trace."""
    if "traceparent" not in headers:
        return {}
    return {name: headers[name] for name in _TRACE_HEADERS if name in headers}


def _request_id(call: InferRequest | None, headers: Mapping[str, str]) -> str:
    """The id from the header or the v2 call, or a new one; also set on the call, for its response."""
    request_id: str = headers.get("x-request-id") or (call.id if call is not None else None) or token_hex(16)
    if len(request_id) > _MAX_ID_LENGTH:
        raise InvalidRequest(f"request id: must have at most {_MAX_ID_LENGTH} characters, got {len(request_id)}")
    if call is not None:
        call.id = request_id
    return request_id
