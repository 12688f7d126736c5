"""The OpenAPI document of the server: every field of every call over HTTP v1, as a client generator reads it.

KServe's own document describes a call as an object with any content. The schemas here are made from the contracts that
validate the calls, so they cannot differ from what the server accepts.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from recommender_transformer.serving import events, items, recommender, users
from recommender_transformer.serving.item_changes import ItemRequest
from winnow.client import answers
from winnow.fields import Contract
from winnow.request import MAX_INSTANCES, Answer, RecommendRequest

_REFERENCE = "#/components/schemas/{model}"
_ERRORS = {
    "400": "The call violates the contract; the message names the field.",
    "401": "A key or token is missing, wrong or expired, where access control is on.",
    "403": "The key or token lacks the scope of the call.",
    "429": "A rate limit is exceeded, or the event stream is full; `Retry-After` says for how long.",
    "503": "The server is overloaded, or what it needs does not answer. Nothing is acknowledged.",
}


class _WithoutDefaults(GenerateJsonSchema):
    """Leaves out the defaults: generators take a field that has one for a field that must be sent."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """The schema of the value."""
        return self.generate_inner(schema["schema"])


class Documented(NamedTuple):
    """A model of the server.

    Attributes:
        name: its name.
        summary: what a call does.
        instance: the contract of an instance.
        prediction: the type of a prediction.
    """

    name: str
    summary: str
    instance: type[Contract]
    prediction: Any


MODELS = (
    Documented(recommender.NAME, "Recommend items.", RecommendRequest, Answer),
    Documented(events.NAME, "Store events.", events.EventRequest, answers.StoredEvent),
    Documented(items.NAME, "Change, delete or read items.", ItemRequest, answers.ChangedItem | answers.ItemRecord),
    Documented(
        users.NAME,
        "Change, read, merge or erase users.",
        users.UserRequest,
        answers.ChangedUser | answers.UserRecord | answers.UserEvents | answers.MergedUser | answers.ErasedUser,
    ),
)
"""The models of the server."""


def serve_document(app: FastAPI, release: int) -> None:
    """Serve the document as ``/openapi.json``, in place of the application's own.

    Args:
        app: KServe's application.
        release: number of the release that is served.
    """
    app.openapi = cache(lambda: document(release, MODELS))  # type: ignore[method-assign]


def document(release: int, models: Sequence[Documented]) -> dict[str, Any]:
    """The document, in OpenAPI 3.1.

    Args:
        release: number of the release that is served.
        models: the models of the server.
    """
    adapters: list[tuple[tuple[str, str], JsonSchemaMode, TypeAdapter[Any]]] = []
    for model in models:
        adapters.append(((model.name, "instance"), "validation", TypeAdapter(model.instance)))
        adapters.append(((model.name, "prediction"), "serialization", TypeAdapter(model.prediction)))
    schemas, definitions = TypeAdapter.json_schemas(
        adapters, ref_template=_REFERENCE, schema_generator=_WithoutDefaults
    )
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Winnow",
            "version": str(release),
            "description": "Recommendations, events, items and users over KServe's V1 protocol. The same calls are "
            "served over the Open Inference Protocol (V2), by HTTP and gRPC, with the fields as tensors.",
        },
        "paths": {
            f"/v1/models/{model.name}:predict": {
                "post": _operation(
                    model,
                    schemas[((model.name, "instance"), "validation")],
                    schemas[((model.name, "prediction"), "serialization")],
                )
            }
            for model in models
        },
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": error},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _operation(model: Documented, instance: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
    def one(name: str, items: dict[str, Any]) -> dict[str, Any]:
        many = {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_INSTANCES}
        schema = {"type": "object", "properties": {name: many}, "required": [name], "additionalProperties": False}
        return {"application/json": {"schema": schema}}

    failed = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}}
    return {
        "operationId": model.name,
        "summary": model.summary,
        "requestBody": {"required": True, "content": one("instances", instance)},
        "responses": {
            "200": {"description": "One prediction per instance, in order.", "content": one("predictions", prediction)},
            **{status: {"description": text, "content": failed} for status, text in _ERRORS.items()},
        },
    }
