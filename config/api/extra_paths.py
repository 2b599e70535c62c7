"""Paths of the document that are no views of the API: the proxy and the pages for people."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_PROXY_NOTE: Final = (
    "The proxy adds the credential, forwards the request and streams the response. `path` may have slashes,"
    " which generated clients encode and the proxy then rejects: use the provider's own client with another base"
    " URL (docs/proxy.md). Needs the scope credentials:use."
)
_PROXIES: Final = (
    (
        "/v1/proxy/credential/{id}/{path}",
        "proxy_credential",
        "Send a request with a credential",
        {"name": "id", "schema": {"type": "string", "format": "uuid"}},
    ),
    (
        "/proxy/{service}/{path}",
        "proxy_service",
        "Send a request with the newest credential of a provider",
        {
            "name": "service",
            "schema": {"type": "string"},
            "description": "A provider's slug, or `custom.<name>`.",
        },
    ),
)
_TOKEN: Final[Schema] = {
    "name": "token",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}
_AUTHORIZE_PARAMETERS: Final[list[Schema]] = [
    {
        "name": "client_id",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "description": "The id of the OAuth app in Latchkey.",
    },
    *(
        {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}
        for name, required in (
            *(("redirect_uri", True), ("state", True), ("scope", False), ("kind", False)),
            *(("external_id", False), ("response_type", False)),
            *(("code_challenge", False), ("code_challenge_method", False)),
        )
    ),
]
_PAGES: Final = (
    (
        "/connect/{token}",
        "connect_page",
        "Open a connect link in a browser",
        "The page on which the person connects an account. The link was created by POST /v1/connect-links.",
        [_TOKEN],
    ),
    (
        "/link/oauth2/authorize",
        "oauth2_authorize_page",
        "Start the documented OAuth flow in a browser",
        "Redirects to the provider's consent page, and from there to `redirect_uri` with a code for POST"
        " /link/oauth2/token.",
        _AUTHORIZE_PARAMETERS,
    ),
    (
        "/link/oauth2/start/{token}",
        "oauth2_start_page",
        "Start a prepared flow in a browser",
        "Redirects to the provider's consent page. The link was created by POST /v1/credentials/start-auth.",
        [_TOKEN],
    ),
)
_BYTES: Final[Schema] = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
}


def build_extra_paths() -> Schema:
    """Return the paths with their operations."""
    return {
        **{
            path: {method: _build_proxy(name, summary, method, parameter) for method in _METHODS}
            for path, name, summary, parameter in _PROXIES
        },
        **{
            path: {"get": _build_page(name, summary, description, parameters)}
            for path, name, summary, description, parameters in _PAGES
        },
    }


def _build_proxy(name: str, summary: str, method: str, parameter: Schema) -> Schema:
    operation: Schema = {
        "operationId": f"{name}_{method}",
        "summary": f"{summary} ({method.upper()})",
        "description": _PROXY_NOTE,
        "tags": ["proxy"],
        "security": [{"bearer": []}],
        "parameters": [
            {**parameter, "in": "path", "required": True},
            {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "The provider's response, whatever its status.",
                "content": _BYTES,
            },
            "default": {
                "description": "The provider's error, or the proxy's: then `title` says why.",
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                },
            },
        },
    }
    if method not in {"get", "delete"}:
        operation["requestBody"] = {"content": _BYTES}
    return operation


def _build_page(name: str, summary: str, description: str, parameters: list[Schema]) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": ["connect"],
        "security": [],
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "A page.",
                "content": {"text/html": {"schema": {"type": "string"}}},
            },
            "302": {"description": "To the provider, or back to the company."},
        },
    }
