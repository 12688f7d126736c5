"""Keys, tokens and files of access control, and calls with them over every protocol."""

import json
import time
from pathlib import Path
from typing import Any

import grpc
import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from tritonclient.grpc import service_pb2 as pb

from tests.support.transformer_server import Server
from winnow.settings.access import SCOPES, hash_of, new_key

ISSUER, AUDIENCE = "https://id.example.com", "winnow"
EVENT = {"user_id": "user-1", "item_id": "item-3", "event": "view"}
INSTANCES: dict[str, dict[str, Any]] = {
    "recommender": {"user_id": "user-1"},
    "events": EVENT,
    "items": {"item_id": "n-1"},
    "users": {"user_id": "user-1", "action": "read"},
}
"""A valid instance per model; of another model, a call without a field is refused by the model at most."""


class Keys:
    """Random keys and their file.

    Attributes:
        by_scope: a key with one scope, per scope.
        every: a key with all of them.
        expired: the same, but expired.
    """

    def __init__(self) -> None:
        self.by_scope = {scope: new_key() for scope in SCOPES}
        self.every, self.expired = new_key(), new_key()

    def entries(self) -> list[dict[str, Any]]:
        """The list ``keys`` of the file."""
        one = [entry(f"only-{scope}", key, scopes=[scope]) for scope, key in self.by_scope.items()]
        return [*one, entry("every", self.every), entry("expired", self.expired, expires="2020-01-01")]


def entry(name: str, key: str, **more: Any) -> dict[str, Any]:
    """An entry of the list ``keys``."""
    return {"name": name, "hash": hash_of(key), "scopes": list(SCOPES)} | more


def write(path: Path, **content: Any) -> Path:
    """Write the file of ``--access-file``, replacing it as a whole."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(yaml.safe_dump(content))
    beside.replace(path)
    return path


class Issuer:
    """An identity provider with one RSA key.

    Attributes:
        key: its private key.
        kid: name of the key.
    """

    def __init__(self, kid: str = "one") -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = kid

    def write(self, path: Path) -> Path:
        """Write the set of public keys."""
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        path.write_text(json.dumps({"keys": [public | {"kid": self.kid, "alg": "RS256", "use": "sig"}]}))
        return path

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token; valid for a minute unless ``claims`` say otherwise."""
        now = int(time.time())
        given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "exp": now + 60, "scope": " ".join(SCOPES)} | claims
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": self.kid} | (headers or {}))


def bearer(key: str | None) -> dict[str, str]:
    """The header of a key; none without one."""
    return {} if key is None else {"authorization": f"Bearer {key}"}


def over_http(server: Server, model: str, headers: dict[str, str]) -> dict[str, int]:
    """Status of a call by every form of HTTP."""
    instance = INSTANCES.get(model, {})
    v1, v2 = f"/v1/models/{model}:predict", f"/v2/models/{model}/infer"
    body = json.dumps({"instances": [instance]}).encode()
    tensors = [{"name": n, "datatype": "BYTES", "shape": [1], "data": [v]} for n, v in instance.items()]
    cloud = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "view"}
    envelope = {name[3:]: value for name, value in cloud.items()} | {"data": EVENT}
    structured = {"content-type": "application/cloudevents+json"}
    batch = {"content-type": "application/cloudevents-batch+json"}
    return {
        "v1": server.post(v1, body, headers)[0],
        "v1 of another encoding": server.post(v1, body, headers | {"content-encoding": "identity"})[0],
        "v2": server.post(v2, json.dumps({"inputs": tensors}).encode(), headers)[0],
        "binary CloudEvent": server.post(v1, json.dumps(EVENT).encode(), headers | cloud)[0],
        "structured CloudEvent": server.post(v1, json.dumps(envelope).encode(), headers | structured)[0],
        "batch of CloudEvents": server.post(v1, json.dumps([envelope]).encode(), headers | batch)[0],
    }


def over_grpc(server: Server, model: str, metadata: dict[str, Any]) -> grpc.StatusCode:
    """Status of a call over gRPC."""
    call = pb.ModelInferRequest(model_name=model)
    for name, value in INSTANCES.get(model, {}).items():
        call.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value.encode())
    try:
        server.infer(call, metadata=tuple(metadata.items()))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK
