"""What OpenAPI needs to know beyond the routes' signatures: bodies that routes read themselves, and problems."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from app import schemas
from app.problems import MEANINGS, MEDIA_TYPE
from app.security import ROUTES
from app.shapes import METADATA_SCHEMA, CollectionName, Title
from app.v1 import schemas as v1_schemas
from app.v1.errors import MEDIA_TYPE as V1_MEDIA_TYPE
from app.v1.errors import is_ours

REFERENCE = "#/components/schemas/{model}"
_BODIES: tuple[type[BaseModel], ...] = (
    schemas.AskRequest,
    schemas.SummarizeRequest,
    schemas.SearchRequest,
    schemas.VerifyRequest,
    schemas.DocumentUpload,
    schemas.DocumentPatch,
    schemas.CollectionRequest,
    schemas.AdaptRequest,
    schemas.AdaptResult,
    schemas.BatchResult,
    schemas.Problem,
    v1_schemas.ChatRequest,
    v1_schemas.EmbeddingsRequest,
    v1_schemas.ErrorReply,
)
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
            "description": "one event; comments come in between",
        }
    }
}
_ALWAYS = (405, 500, 503)  # what any route may answer


def errors(*statuses: int, openai: bool = False) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these error statuses, and those that any route may answer; with `openai`, in its shape."""
    media_type, model = (V1_MEDIA_TYPE, v1_schemas.ErrorReply) if openai else (MEDIA_TYPE, schemas.Problem)
    problem = {media_type: {"schema": _reference(model)}}
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, *_ALWAYS}):
        codes = sorted({meaning.code for meaning in MEANINGS.values() if meaning.status == status})
        found[status] = {"description": "`" + "`, `".join(codes) + "`", "content": problem}
    return found


def also_events(which: str) -> dict[str, Any]:
    """The OpenAPI response of a route that streams too, if it is asked to."""
    return {"description": f"The whole reply; with `stream`, events: {which}", "content": EVENTS}


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads this model from JSON."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": _reference(model)}}}}


def upload_body() -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a document, as JSON or as a multipart form."""
    form = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "collection": TypeAdapter(CollectionName).json_schema(),
            "title": TypeAdapter(Title).json_schema(),
            "metadata": METADATA_SCHEMA,  # of type object: its part is JSON
        },
    }
    content = {
        "application/json": {"schema": _reference(schemas.DocumentUpload)},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


def lines_body() -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a document a line."""
    described = "a JSON document a line, each as `DocumentUpload`; a line that is none fails alone"
    schema = {"type": "string", "pattern": r"[^\t\n\u000b\f\r ]", "description": described}
    return {"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": schema}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, made = models_json_schema([(model, "validation") for model in _BODIES], ref_template=REFERENCE)
        document.setdefault("components", {}).setdefault("schemas", {}).update(made["$defs"])
        _drop_framework_errors(document)
        _name_scopes(document)
        app.openapi_schema = document
    return app.openapi_schema


def _drop_framework_errors(document: dict[str, Any]) -> None:
    """FastAPI adds its own shape of a 422 to routes that do not name one; no route ever answers with it."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _name_scopes(document: dict[str, Any]) -> None:
    """Say of every operation which key it needs, and how it refuses one."""
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "not needed while no key was ever made"}
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = ROUTES.get(path, {}).get(method.upper())
            if scope is not None:
                operation["security"] = [{"key": [scope]}]
                refusals = errors(401, 403, 429, openai=is_ours(path))
                operation["responses"].update({str(status): refusal for status, refusal in refusals.items()})


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}
