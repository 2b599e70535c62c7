"""Additions to the OpenAPI document that drf-spectacular cannot derive from the code."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from config.api.examples import EXAMPLES
from providers.kinds import Kind
from providers.properties import MASK
from providers.registry import get_registry

Schema = dict[str, Any]
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457, with the documented API's `summary` and `validation_errors`.",
    "required": ["type", "title", "status", "detail", "summary", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "summary": {"type": "string", "description": "The same as `detail`."},
        "validation_errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}
_PLAIN_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "retry_after_seconds": {"type": "integer"}},
}
_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "An ETag: the call fails with 412 if the object has changed since.",
}
_REPLAYED: Schema = {
    "schema": {"type": "string", "const": "true"},
    "description": "Present if this is the response to an earlier request with the same key.",
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "http", "scheme": "bearer", "description": "An API token or a session."}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Add kinds, errors, headers, examples and JSON query parameters: drf-spectacular's hook."""
    schemas = result["components"]["schemas"]
    schemas["Problem"], schemas["Error"] = _PROBLEM, _PLAIN_ERROR
    _add_kinds(schemas)
    # `GET /api/credentials` responds with a bare array, which drf-spectacular cannot know.
    wrapped = schemas.pop("PaginatedCredentialMetadataList")
    response = result["paths"]["/api/credentials"]["get"]["responses"]["200"]
    response["content"]["application/json"]["schema"] = wrapped["properties"]["data"]
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _complete_operation(operation, path=path, method=method)
    return result


def _add_kinds(schemas: Schema) -> None:
    """Describe `properties` as one of the kinds' schemas, with `kind` as the discriminator."""
    kinds = {kind.name: kind for kind in get_registry().kinds.values()}
    for name, masked in (("CredentialProperties", True), ("CredentialPropertiesRequest", False)):
        mapping = {}
        for kind in kinds.values():
            component = f"{kind.name}{'' if masked else '_request'}"
            schemas[component] = _build_kind_schema(kind, masked=masked)
            mapping[kind.name] = f"#/components/schemas/{component}"
        schemas[name] = {
            "oneOf": [{"$ref": reference} for reference in mapping.values()],
            "discriminator": {"propertyName": "kind", "mapping": mapping},
        }
    for component, name in (
        ("Credential", "CredentialProperties"),
        ("CredentialImportRequest", "CredentialPropertiesRequest"),
    ):
        schemas[component]["properties"]["properties"] = {"$ref": f"#/components/schemas/{name}"}


def _build_kind_schema(kind: Kind, *, masked: bool) -> Schema:
    schema: Schema = {key: value for key, value in kind.schema.items() if key != "$schema"}
    schema["properties"] = dict(schema["properties"])
    for name in kind.secret_fields:
        part = dict(schema["properties"][name])
        schema["properties"][name] = (
            {"type": "string", "const": MASK} if masked else {**part, "writeOnly": True}
        )
    return {**schema, "title": kind.title}


def _complete_operation(operation: Schema, *, path: str, method: str) -> None:
    operation["tags"] = [path.split("/")[2] if path.startswith("/v1/") else "sessions and keys"]
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "metadata":
            # Clients would serialize a plain object as ?custom_property=42.
            parameter["content"] = {"application/json": {"schema": parameter.pop("schema")}}
            parameter["content"]["application/json"]["schema"] = {"type": "object"}
    if method in {"patch", "delete"} and path.startswith("/v1/") and "/connect-" not in path:
        operation.setdefault("parameters", []).append(_IF_MATCH)
    if any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", [])):
        for response in operation["responses"].values():
            response.setdefault("headers", {})["Idempotent-Replayed"] = _REPLAYED
        for status, reason in (
            (
                "409",
                "The request with this Idempotency-Key is still running, or there is a conflict.",
            ),
            ("422", "The body is not valid, or the Idempotency-Key was sent with another request."),
        ):
            response = {**_build_error_response(path), "description": reason}
            operation["responses"].setdefault(status, response)
    operation["responses"]["default"] = _build_error_response(path)
    content = EXAMPLES.get((path, method), {})
    if "request" in content:
        operation["requestBody"]["content"]["application/json"]["example"] = content["request"]
    for status, example in content.get("responses", {}).items():
        operation["responses"][status]["content"]["application/json"]["example"] = example


def _build_error_response(path: str) -> Schema:
    plain = path.startswith("/api/")
    media = "application/json" if plain else "application/problem+json"
    reference = f"#/components/schemas/{'Error' if plain else 'Problem'}"
    return {
        "description": "The request was rejected; the status says why.",
        "content": {media: {"schema": {"$ref": reference}}},
    }
