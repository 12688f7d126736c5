"""The ``recommender`` model of the KServe server: the funnel behind HTTP v1, HTTP v2 and gRPC v2."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from kserve import InferOutput, InferRequest, InferResponse  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ModelNotReady  # type: ignore[import-untyped]

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.serving.connected_model import ConnectedModel
from recommender_transformer.serving.protocols import codec
from winnow.request import Answer, InvalidRequest, RecommendRequest, parse_all, quote

NAME = "recommender"
OUTPUTS = ("item_ids", "scores", "answer")

_MAX_ID_LENGTH = 128
_TRACE_HEADERS = ("traceparent", "tracestate")


@dataclass(frozen=True)
class Batch:
    """The queries of one call.

    Attributes:
        queries: one query per request, each with its candidates.
        call: the v2 call; `None` for v1.
    """

    queries: list[tuple[Query, Candidates]]
    call: InferRequest | None


class NotReady(ModelNotReady):  # type: ignore[misc]
    """The funnel is not connected yet. KServe's gRPC server reads ``reason``, which its own error lacks."""

    @property
    def reason(self) -> str:
        """The message."""
        return str(self)


class RecommenderModel(ConnectedModel[Runner]):
    """Answers recommendation requests. KServe calls ``preprocess``, ``predict`` and ``postprocess`` in turn.

    Args:
        release: number of the release.
        connect: creates the runner; called inside the server's event loop, as the clients of Redis and Triton require.
    """

    def __init__(self, release: int, connect: Callable[[], Awaitable[Runner]]) -> None:
        super().__init__(NAME, connect)
        self._release = release

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

    async def preprocess(self, payload: object, headers: Mapping[str, str] | None = None) -> Batch:
        """Decode and check the call, then retrieve candidates: everything up to the scorers."""
        runner = self.backend
        if runner is None:
            raise NotReady(self.name)
        call = payload if isinstance(payload, InferRequest) else None
        try:
            if call is not None and call.model_version not in (None, "", str(self._release)):
                raise InvalidRequest(
                    f"model_version: this server is pinned to release {self._release}, got {quote(call.model_version)}"
                )
            codec.check_outputs(call, OUTPUTS)
            instances = codec.instances(payload, codec.REQUEST_TENSORS, codec.REQUEST_LEADING)
            requests = parse_all(RecommendRequest, instances)
            headers = headers or {}
            queries = await runner.admit(requests, _request_id(call, headers), _carrier(headers))
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        candidates = await asyncio.gather(*map(runner.retrieve, queries))
        return Batch(list(zip(queries, candidates, strict=True)), call)

    async def predict(
        self, payload: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Batch:
        """Score the candidates."""
        runner = self.backend
        assert runner is not None
        await asyncio.gather(*(runner.score(query, candidates) for query, candidates in payload.queries))
        return payload

    async def postprocess(
        self, result: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, list[Answer]] | InferResponse:
        """Order the candidates, and encode the answers in the protocol of the call."""
        runner = self.backend
        assert runner is not None
        answers = [runner.answer(query, candidates) for query, candidates in result.queries]
        if result.call is None:
            return {"predictions": answers}
        width = max(query.request.k for query, _ in result.queries)
        return codec.response(result.call, self.name, self._release, _outputs(answers, width))

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Refused."""
        raise InvalidInput("explain: is not supported; send a prediction request with debug: true")


def _outputs(answers: list[Answer], width: int) -> list[InferOutput]:
    """The v2 outputs; shorter answers are padded to ``width`` with "" and 0."""
    item_ids: list[str] = []
    scores: list[float] = []
    for answer in answers:
        missing = width - len(answer["items"])
        item_ids += [item["item_id"] for item in answer["items"]] + [""] * missing
        scores += [item["score"] for item in answer["items"]] + [0.0] * missing
    shape = [len(answers), width]
    return [
        codec.strings("item_ids", shape, item_ids),
        InferOutput(name="scores", shape=shape, datatype="FP32", data=scores),
        codec.strings("answer", [len(answers)], [orjson.dumps(answer).decode() for answer in answers]),
    ]


def _carrier(headers: Mapping[str, str]) -> dict[str, str]:
    """The caller's W3C trace headers; empty without a trace."""
    if "traceparent" not in headers:
        return {}
    return {name: headers[name] for name in _TRACE_HEADERS if name in headers}


def _request_id(call: InferRequest | None, headers: Mapping[str, str]) -> str:
    """The id from the header or the v2 call, or a new one; also set on the call, for its response."""
    request_id: str = headers.get("x-request-id") or (call.id if call is not None else None) or uuid.uuid4().hex
    if len(request_id) > _MAX_ID_LENGTH:
        raise InvalidRequest(f"request id: must have at most {_MAX_ID_LENGTH} characters, got {len(request_id)}")
    if call is not None:
        call.id = request_id
    return request_id
