"""Additions to the OpenAPI document that drf-spectacular cannot derive from the code."""

from __future__ import annotations

import http
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from config.api.examples import EXAMPLES
from config.api.extra_paths import build_extra_paths
from config.api.operations import describe_operation, list_tags
from providers.properties import MASK

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
_SEQUIN_APP: Schema = {
    "type": "object",
    "description": "In place of an OAuth app: the credential is authorized by Sequin's own app.",
    "required": ["kind"],
    "properties": {"kind": {"type": "string", "const": "sequin"}},
}
_REFERENCE: Final = "#/components/schemas/"
COMPONENT_NAMES: Final = {
    # Generators name the type of the object `Credential.metadata` like this.
    "CredentialMetadata": "KeySummary",
    "Exchanged": "ExchangedCode",
    "Failure": "HealthFailure",
    "KeyRequest": "KeyCreateRequest",
    "RevealRequestRequest": "RevealRequest",
    "RotateRequest": "WebhookSecretRotateRequest",
    "RotateRequestRequest": "CredentialRotateRequest",
    "PatchedAccountSettingsRequest": "AccountConnectSettingsUpdateRequest",
    "PatchedAppSettingsRequest": "AppConnectSettingsUpdateRequest",
    "PatchedCredentialMergeRequest": "CredentialMergeRequest",
    "PatchedCredentialUpdateRequest": "CredentialUpdateRequest",
    "PatchedEndpointUpdateRequest": "EndpointUpdateRequest",
    "PatchedOAuthAppUpdateRequest": "OAuthAppUpdateRequest",
    "ShownAccountSettings": "AccountConnectSettings",
    "ShownAppSettings": "AppConnectSettings",
    "Started": "StartedFlow",
    "Status": "SessionStatus",
    "Target": "EventTarget",
    "Token": "AccessToken",
}
# Of serializers' base classes, and of those that name a module.
_INNER_DESCRIPTIONS: Final = ("Fields of a JSON object.", "The body of an import. Its fields")
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

    def get_security_definition(self, auto_schema: object) -> Schema:
        return {"type": "http", "scheme": "bearer", "description": "An API token or a session."}


def complete(result: Schema, generator: object, request: object, public: bool) -> Schema:
    """Add errors, headers, examples, names and the paths that are no views: drf-spectacular's hook."""
    schemas = result["components"]["schemas"]
    schemas["Problem"], schemas["Error"] = _PROBLEM, _PLAIN_ERROR
    _open_properties(schemas)
    # `GET /api/credentials` responds with a bare array, which drf-spectacular cannot know.
    wrapped = schemas.pop("PaginatedCredentialMetadataList")
    response = result["paths"]["/api/credentials"]["get"]["responses"]["200"]
    response["content"]["application/json"]["schema"] = wrapped["properties"]["data"]
    for path, operations in result["paths"].items():
        is_collection = {"get", "post"} <= set(operations)
        for method, operation in operations.items():
            describe_operation(operation, path=path, method=method, is_collection=is_collection)
            _complete_operation(operation, path=path, method=method)
    result["paths"] |= build_extra_paths()
    # Relative, because the document is the same on every server.
    result["servers"] = [{"url": "/", "description": "This server"}]
    result["tags"] = list_tags()
    return rename_components(result)


def _open_properties(schemas: Schema) -> None:
    """Describe `properties` as an open object that `kind` discriminates.

    Operators add kinds by files, and a generated client must read those as well. So the document does not
    grow with them: the schema of each kind is at /v1/providers/{slug}.
    """
    for component, name, description in (
        ("Credential", "CredentialProperties", f"Secret fields are {MASK}."),
        ("CredentialImportRequest", "CredentialPropertiesRequest", "Secrets are never returned."),
    ):
        schemas[name] = {
            "type": "object",
            "description": f"The fields of `kind`. Their JSON Schema is in `kinds` of"
            f" GET /v1/providers/{{slug}}. {description}",
            "required": ["kind"],
            "properties": {"kind": {"type": "string", "examples": ["stripe_key"]}},
            "additionalProperties": True,
        }
        schemas[component]["properties"]["properties"] = {"$ref": f"#/components/schemas/{name}"}
    schemas["SequinApp"] = _SEQUIN_APP
    schemas["Credential"]["properties"]["oauth_app"]["oneOf"].insert(
        1, {"$ref": "#/components/schemas/SequinApp"}
    )


def rename_components(document: Schema) -> Schema:
    """Give components the names that a program should see, in every reference to them."""
    names = {name: COMPONENT_NAMES.get(name, name) for name in document["components"]["schemas"]}

    def rename(value: object) -> Any:
        if isinstance(value, dict):
            return {
                key: f"{_REFERENCE}{names[part.removeprefix(_REFERENCE)]}"
                if key == "$ref" and isinstance(part, str)
                else rename(part)
                for key, part in value.items()
            }
        return [rename(part) for part in value] if isinstance(value, list) else value

    renamed: Schema = rename(document)
    schemas = renamed["components"]["schemas"]
    for schema in schemas.values():
        # A base class or a module left its own description.
        if schema.get("description", "").startswith(_INNER_DESCRIPTIONS):
            del schema["description"]
    renamed["components"]["schemas"] = {
        names[name]: schemas[name] for name in sorted(schemas, key=lambda name: names[name])
    }
    return renamed


def _complete_operation(operation: Schema, *, path: str, method: str) -> None:
    _complete_parameters(operation.get("parameters", []))
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
    for status, response in operation["responses"].items():
        response["description"] = response.get("description") or http.HTTPStatus(int(status)).phrase
    operation["responses"]["default"] = _build_error_response(path)
    content = EXAMPLES.get((path, method), {})
    if "request" in content:
        operation["requestBody"]["content"]["application/json"]["example"] = content["request"]
    for status, example in content.get("responses", {}).items():
        operation["responses"][status]["content"]["application/json"]["example"] = example


def _complete_parameters(parameters: list[Schema]) -> None:
    for parameter in parameters:
        if parameter["name"] == "metadata":
            # A parameter with `content` is what generators drop or flatten.
            parameter["schema"] = {"type": "string", "contentMediaType": "application/json"}
            parameter["example"] = '{"plan": "pro"}'
        elif "a time span" in parameter.get("description", ""):
            # With a format, generated clients would accept a time alone.
            parameter["schema"] = {"type": "string"}


def _build_error_response(path: str) -> Schema:
    plain = path.startswith("/api/")
    media = "application/json" if plain else "application/problem+json"
    reference = f"#/components/schemas/{'Error' if plain else 'Problem'}"
    return {
        "description": "The request was rejected; the status says why.",
        "content": {media: {"schema": {"$ref": reference}}},
    }
