"""Hypothesis strategies of requests from the contracts' JSON schemas: valid ones, and ones with a fault at any level.

Each strategy gives a :data:`Call`: a request over HTTP or over gRPC.
"""

import base64
import json
import re
import struct
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tests.support.faults.fuzz_access import access_headers
from tests.support.faults.fuzz_instances import JSON, MODELS, ODD, TEXT, Vocabulary, instance_of

_DATATYPES = ("BYTES", "BOOL", "INT32", "INT64", "UINT8", "FP16", "FP32", "FP64", "COMPLEX", "")
_PACKED = {"BOOL": "?", "INT32": "i", "INT64": "q", "UINT8": "B", "FP32": "f", "FP64": "d"}
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_LARGE = 200_000
"""Bytes of a body at most; other tests cover the size limits."""


class Http(NamedTuple):
    """A request over HTTP."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Grpc(NamedTuple):
    """A request over gRPC: a ``ModelInferRequest`` and the call's metadata."""

    message: Any
    metadata: tuple[tuple[str, str], ...] = ()


Call: TypeAlias = Http | Grpc


def _chance(of: int) -> st.SearchStrategy[int]:
    """A uniform draw; Hypothesis prefers the ends of a range."""
    return st.sampled_from(range(of))


def calls(vocabulary: Vocabulary) -> st.SearchStrategy[Call]:
    """Requests of every kind."""
    instances = {model: instance_of(vocabulary, model) for model in MODELS}
    lists = {model: st.lists(instance, min_size=1, max_size=3) for model, instance in instances.items()}
    bodies = {model: lists[model].map(lambda given: {"instances": given}) for model in MODELS}
    v1 = [_v1(model, bodies[model]) for model in MODELS]
    v2 = [_v2(model, lists[model]) for model in MODELS]
    grpc = [_grpc(model, lists[model]) for model in MODELS]
    each = st.one_of(*v1, *v2, *grpc, _cloud(instances["events"]), _cloud(instances["events"]), _elsewhere())
    return st.builds(_with_headers, each, access_headers(vocabulary.keys)) if vocabulary.keys else each


def _with_headers(call: Call, headers: dict[str, str]) -> Call:
    if isinstance(call, Http):
        return call._replace(headers=call.headers | headers)
    # Metadata are printable ASCII; gRPC's client refuses others.
    sent = ((name.lower(), value.encode("ascii", "replace").decode()) for name, value in headers.items())
    return call._replace(metadata=tuple(sent))


@st.composite
def _mutated(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> Any:
    """A document; half of them with one fault."""
    document = draw(documents)
    if draw(_chance(2)):
        return document
    document = json.loads(json.dumps(document))
    holder: Any = {"": document}
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
        holder = holder[key]
        key = (
            draw(st.sampled_from(sorted(holder))) if isinstance(holder, dict) else draw(st.integers(0, len(holder) - 1))
        )
    match draw(_chance(5)):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]] * draw(st.integers(0, 70))
        case 2 if isinstance(holder[key], str):
            holder[key] *= draw(st.integers(0, 500))
        case 3 if isinstance(holder, dict):
            holder[draw(ODD)] = draw(JSON)
        case _:
            holder[key] = draw(JSON)
    return document


@st.composite
def _bytes(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> bytes:
    """A document as bytes; some are no longer JSON."""
    body = json.dumps(draw(documents)).encode()[:_LARGE]
    match draw(_chance(20)):
        case 0:
            return body[: draw(st.integers(0, len(body)))]
        case 1:
            place = draw(st.integers(0, len(body)))
            return body[:place] + draw(st.binary(max_size=8)) + body[place:]
        case 2:
            parts = body.split(b'"')
            place = draw(st.integers(0, len(parts) - 1))
            return b'"'.join([*parts[:place], b"\\ud800" + parts[place], *parts[place + 1 :]])
        case 3:
            return body.replace(draw(st.sampled_from([b":", b",", b"{", b"1"])), draw(st.binary(max_size=4)), 1)
    return body


def _v1(model: str, bodies: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    types = st.sampled_from(["application/json"] * 16 + ["text/plain", "image/png", "", "application/cloudevents+json"])
    path = st.sampled_from([f"/v1/models/{model}:predict"] * 9 + [f"/v1/models/{model}:explain"])
    headers = st.builds(lambda kind, request_id: {"Content-Type": kind} | request_id, types, _request_id())
    return st.builds(Http, st.just("POST"), path, headers, _bytes(_mutated(bodies)))


def _request_id() -> st.SearchStrategy[dict[str, str]]:
    latin = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=140)
    ids = latin.filter(lambda text: not 0x7F <= max(map(ord, text), default=0) <= 0x9F)
    return st.one_of(st.just({}), st.just({}), ids.map(lambda text: {"X-Request-Id": text}))


@st.composite
def _v2(draw: st.DrawFn, model: str, instances: st.SearchStrategy[list[Any]]) -> Call:
    inputs = []
    for name, values in _columns(draw(_mutated(instances))).items():
        datatype = _datatype(values)
        data = [json.dumps(value) if isinstance(value, dict | list) else value for value in values]
        inputs.append({"name": name, "datatype": datatype, "shape": [len(values)], "data": data})
    more: dict[str, Any] = draw(
        st.sampled_from([{}, {"id": "x"}, {"id": draw(ODD)}, {"outputs": []}, {"outputs": [{"name": "answer"}]}])
    )
    whole = st.just({"inputs": inputs} | more)
    body = draw(_bytes(whole if draw(_chance(4)) else _mutated(whole)))
    headers = {"Content-Type": "application/json"}
    if not draw(_chance(8)):
        body = json.dumps({"inputs": [{**one, "parameters": {"binary_data_size": 5}} for one in inputs]}).encode()
        headers["Inference-Header-Content-Length"] = str(draw(st.sampled_from([len(body), 0, -1, "x", 10**9])))
        headers["Content-Type"] = "application/octet-stream"
        body += draw(st.binary(max_size=40))
    version = draw(st.sampled_from([""] * 9 + ["/versions/1"]))
    return Http("POST", f"/v2/models/{model}{version}/infer", headers, body)


@st.composite
def _grpc(draw: st.DrawFn, model: str, instances: st.SearchStrategy[list[Any]]) -> Call:
    request = pb.ModelInferRequest(model_name=draw(st.sampled_from([model] * 9 + ["", "nothing"])))
    request.model_version = draw(st.sampled_from(["", "1"] * 9 + ["x", "9"]))
    request.id = draw(st.sampled_from(["", "my-own"] * 9 + ["x" * 200]))
    by_contents = not draw(_chance(8))
    for name, values in _columns(draw(_mutated(instances))).items():
        datatype = draw(st.sampled_from([_datatype(values)] * 29 + [draw(st.sampled_from(_DATATYPES))]))
        shape = draw(st.sampled_from([[len(values)]] * 99 + [[len(values), 1], [], [-1], [2**40], [0], [3, 3]]))
        tensor = request.inputs.add(
            name=name[:1000].encode("utf-8", "replace").decode(), datatype=datatype, shape=shape
        )
        raw = _packed(datatype, values)
        if by_contents:
            tensor.contents.bytes_contents.append(raw)
        elif draw(_chance(30)):
            request.raw_input_contents.append(raw[: draw(st.sampled_from([len(raw)] * 29 + [len(raw) // 2]))])
    for name in draw(st.sampled_from([[]] * 5 + [["answer"], ["no-such"]])):
        request.outputs.add(name=name)
    return Grpc(request)


@st.composite
def _cloud(draw: st.DrawFn, events: st.SearchStrategy[Any]) -> Call:
    envelope = st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": TEXT,
            "source": st.just("/shop"),
            "type": st.sampled_from(["a.view", "b"]),
        },
        optional={
            "time": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
            "datacontenttype": st.sampled_from(["application/json"] * 9 + ["text/xml"]),
            "data": events,
            "data_base64": events.map(lambda event: base64.b64encode(json.dumps(event).encode()).decode()),
            "traceparent": TEXT,
        },
    )
    path = f"/v1/models/{draw(st.sampled_from(['events'] * 9 + ['recommender']))}:predict"
    match draw(_chance(3)):
        case 0:
            attributes = draw(_mutated(envelope))
            given = attributes.items() if isinstance(attributes, dict) else ()
            headers = {
                f"ce-{name}": quote(str(value), errors="surrogatepass")
                for name, value in given
                if _TOKEN.fullmatch(name)
            }
            headers |= draw(st.sampled_from([{}, {}, {}, {"ce-subject": "%ff"}, {"ce-id": "7 %"}, {"CE-Time": "\xe9"}]))
            return Http("POST", path, headers | {"Content-Type": "application/json"}, draw(_bytes(_mutated(events))))
        case 1:
            return Http(
                "POST", path, {"Content-Type": "application/cloudevents+json"}, draw(_bytes(_mutated(envelope)))
            )
    batch = draw(_bytes(_mutated(st.lists(envelope, max_size=3))))
    return Http("POST", path, {"Content-Type": "application/cloudevents-batch+json"}, batch)


def _elsewhere() -> st.SearchStrategy[Call]:
    """Paths other than the models'."""
    names = st.sampled_from([*MODELS, "nothing", "%00", "..", "é".encode().hex()])
    paths = st.builds(
        lambda form, name: form.format(name),
        st.sampled_from(
            [
                "/v1/models",
                "/v1/models/{}",
                "/v2",
                "/v2/models",
                "/v2/models/{}",
                "/v2/models/{}/ready",
                "/v2/models/{}/versions/1",
                "/v2/models/{}/versions/1/ready",
                "/v2/repository/models/{}/load",
                "/v2/health/ready",
                "/v2/health/live",
                "/metrics",
                "/openapi.json",
                "/{}",
            ]
        ),
        names,
    )
    methods = st.sampled_from(["GET", "GET", "POST", "PUT", "DELETE", "OPTIONS"])
    return st.builds(Http, methods, paths, st.just({}), st.just(b""))


def _columns(instances: Any) -> dict[str, list[Any]]:
    """A tensor per field, with the values of the instances that have the field."""
    given = [one for one in instances if isinstance(one, dict)] if isinstance(instances, list) else []
    names = dict.fromkeys(name for one in given for name in one)
    columns = {name: [one[name] for one in given if one.get(name) is not None] for name in names}
    return {name: values for name, values in columns.items() if values}


def _datatype(values: list[Any]) -> str:
    kinds = {bool: "BOOL", int: "INT64", float: "FP64"}
    return kinds.get(type(values[0]), "BYTES")


def _packed(datatype: str, values: list[Any]) -> bytes:
    """Raw tensor contents; values that do not fit the type are sent as text."""
    try:
        return struct.pack(f"<{len(values)}{_PACKED[datatype]}", *values)
    except (KeyError, struct.error, OverflowError):
        texts = [
            value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()
            for value in values
        ]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
