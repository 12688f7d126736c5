"""Generated requests over HTTP and gRPC, the same in every run, and a count of their answers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import httpx
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as fixed
from tritonclient.grpc import service_pb2 as pb

from tests.support.faults.fuzz_instances import Vocabulary
from tests.support.faults.fuzz_requests import Call, Grpc, Http, calls
from winnow.release import Release

TIMEOUT_S = 5.0

_SCHEMAS = """
import json
from recommender_transformer.serving.events import EventRequest
from recommender_transformer.serving.items import ItemRequest
from recommender_transformer.serving.users import UserRequest
from winnow.request import RecommendRequest
contracts = {"recommender": RecommendRequest, "events": EventRequest, "items": ItemRequest, "users": UserRequest}
print(json.dumps({model: contract.model_json_schema() for model, contract in contracts.items()}))
"""
"""Runs in a process of its own: KServe's protobuf messages and Triton's, which are sent here, clash in one."""

_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE)


@dataclass
class Answers:
    """A count of the answers.

    Attributes:
        statuses: number of answers, by status.
        broken: calls answered with a 5xx or its gRPC equivalent, and the answer.
        hung: calls without an answer within :data:`TIMEOUT_S`.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[Call, str]] = field(default_factory=list)
    hung: list[Call] = field(default_factory=list)


def vocabulary_of(served: Release, keys: Sequence[str] = ()) -> Vocabulary:
    """Schemas, ids and event types of a release, and the keys of a server with access control."""
    process = subprocess.run([sys.executable, "-c", _SCHEMAS], stdout=subprocess.PIPE, check=True)
    rng = np.random.default_rng(0)
    users: list[str] = rng.choice(served.array("user_ids"), 10).tolist()
    items: list[str] = rng.choice(served.strings("item_ids")[1:], 10).tolist()
    return Vocabulary(json.loads(process.stdout), users, items, list(served.schema.events), tuple(keys))


def send(vocabulary: Vocabulary, http_port: int, grpc_port: int, count: int, seed: int) -> Answers:
    """Send ``count`` generated requests one after another."""
    answered = Answers()
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{http_port}", trust_env=False, timeout=TIMEOUT_S) as endpoint,
        grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
    ):
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

        def over_http(call: Http) -> None:
            headers = [(name.encode(), value.encode("latin-1")) for name, value in call.headers.items()]
            try:
                answer = endpoint.request(call.method, call.path, headers=headers, content=call.body)
            except httpx.TimeoutException:
                answered.hung.append(call)
                return
            answered.statuses[str(answer.status_code)] += 1
            if answer.is_server_error:
                answered.broken.append((call, f"{answer.status_code} {answer.text}"))

        def over_grpc(call: Grpc) -> None:
            try:
                infer(call.message, metadata=call.metadata, timeout=TIMEOUT_S)
                code, details = grpc.StatusCode.OK, ""
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                answered.hung.append(call)
                return
            answered.statuses[code.name] += 1
            if code in _BROKEN:
                answered.broken.append((call, f"{code.name} {details}"))

        @fixed(seed)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(calls(vocabulary))
        def each(call: Call) -> None:
            if isinstance(call, Http):
                over_http(call)
            else:
                over_grpc(call)

        each()
    return answered
