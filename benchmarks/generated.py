"""Ten thousand generated requests: does any of them get a 5xx, does one hang, does the server grow?

They are the same ones in every run.
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import grpc
import httpx
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as fixed
from tritonclient.grpc import service_pb2 as pb

from benchmarks.hostile import resident_mb
from benchmarks.requests import Call, Grpc, Http, Known, calls
from benchmarks.rows import Row, row
from benchmarks.serving import newest, serving
from winnow import client
from winnow.release import Release

COUNT = 10_000
WARM = 1_000
RSS_MB = 50
TIMEOUT_S = 5.0

_SCHEMAS = """
import json
from recommender_transformer.serving.events import EventRequest
from recommender_transformer.serving.items import ItemRequest
from winnow.request import RecommendRequest
contracts = {"recommender": RecommendRequest, "events": EventRequest, "items": ItemRequest}
print(json.dumps({model: contract.model_json_schema() for model, contract in contracts.items()}))
"""
"""In a process of its own: KServe's messages and Triton's, which are what is sent here, cannot be in one."""

_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE)


@dataclass
class Answered:
    """What came back.

    Attributes:
        statuses: how often each status came.
        broken: calls that were answered 5xx, or as much over gRPC, with the answer.
        hung: calls that were not answered in time.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[Call, str]] = field(default_factory=list)
    hung: list[Call] = field(default_factory=list)


def measure() -> list[Row]:
    """Serve the newest release apart from everything else, and send it all.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    known = known_of(served)
    with serving(served) as ports, client.http(ports.http) as endpoint:
        send(known, ports.http, ports.grpc, WARM, seed=1)
        before = resident_mb(endpoint)
        answered = send(known, ports.http, ports.grpc, COUNT, seed=0)
        grown = resident_mb(endpoint) - before
    total = sum(answered.statuses.values())
    right = answered.statuses["200"] + answered.statuses["OK"]
    for call, answer in answered.broken[:5]:
        sys.stderr.write(f"{answer[:500]}\n{str(call)[:1000]}\n")
    return [
        row("generated requests, sent", total, "", f">= {COUNT}"),
        row("generated requests, answered with a result", right / total, "share"),
        row("generated requests, answered 5xx or INTERNAL", len(answered.broken), "", "<= 0"),
        row(f"generated requests, without an answer after {TIMEOUT_S:.0f} s", len(answered.hung), "", "<= 0"),
        row("generated requests, growth of the server's memory", grown, "MB", f"<= {RSS_MB}"),
    ]


def known_of(served: Release) -> Known:
    """What requests to a release are made from."""
    process = subprocess.run([sys.executable, "-c", _SCHEMAS], stdout=subprocess.PIPE, check=True)  # noqa: S603
    rng = np.random.default_rng(0)
    users: list[str] = rng.choice(served.array("user_ids"), 10).tolist()
    items: list[str] = rng.choice(served.array("item_ids")[1:], 10).tolist()
    return Known(json.loads(process.stdout), users, items, list(served.schema.events))


def send(known: Known, http_port: int, grpc_port: int, count: int, seed: int) -> Answered:
    """Send ``count`` generated requests, one after the other."""
    answered = Answered()
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
                infer(call.message, timeout=TIMEOUT_S)
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
        @given(calls(known))
        def each(call: Call) -> None:
            if isinstance(call, Http):
                over_http(call)
            else:
                over_grpc(call)

        each()
    return answered
