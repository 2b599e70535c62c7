"""Examples of the two documented APIs, as this service responds."""

from __future__ import annotations

from typing import Any, Final

_APP: Final[dict[str, Any]] = {
    "name": "Arakkis - Stripe",
    "id": "8ff58ef0-d376-4ae8-b2e2-9f0206aa65b8",
    "client_id": "b9f074c939140210e8c231845bbe8b98",
    "client_secret": "**********",
    "metadata": {},
    "provider": "stripe",
    "created_at": "2024-02-20T02:10:52Z",
    "updated_at": "2024-02-20T02:10:52Z",
}
_CREDENTIAL: Final[dict[str, Any]] = {
    "id": "c906b4a4-0cda-4f46-bd80-255f570c195d",
    "provider": "stripe",
    "kind": "stripe_key",
    "name": "TEST ACCOUNT",
    "oauth_app_id": _APP["id"],
    "oauth_app": _APP,
    "properties": {
        "kind": "stripe_key",
        "name": "TEST ACCOUNT",
        "secret": "**********",
        "test": True,
    },
    "metadata": {"custom_property": 42},
    "health": {
        "status": "error",
        "notes": ["Stripe answers 401 to this key: it is probably expired or revoked."],
        "time": "2023-12-15T01:29:29Z",
    },
    "owner_email": None,
    "external_id": None,
    "expires_at": None,
    "refresh": None,
    "last_used_at": None,
    "created_at": "2024-02-19T22:59:41Z",
    "updated_at": "2024-02-19T22:59:41Z",
}
_METADATA: Final[list[dict[str, Any]]] = [
    {
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "service": "openai",
        "name": "primary",
        "created_at": 1700000000,
        "last_used_at": 1700100000,
    },
    {
        "id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "service": "anthropic",
        "name": "production",
        "created_at": 1700000100,
        "last_used_at": None,
    },
]

EXAMPLES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("/v1/credentials", "get"): {
        "responses": {"200": {"data": [_CREDENTIAL], "next_cursor": None}},
    },
    ("/v1/credentials", "post"): {
        "request": {
            "properties": {
                "kind": "stripe_key",
                "name": "Choam Stripe",
                "secret": "sk_live_7eC39HqLyjWDarjtT1zdp7dcasd",
                "test": False,
            },
            "oauth_app_id": _APP["id"],
            "metadata": {"custom_property": 42},
        },
        "responses": {"200": _CREDENTIAL},
    },
    ("/v1/credentials/{id}", "patch"): {
        "request": {"metadata": {"custom_property": 42}},
        "responses": {"200": _CREDENTIAL},
    },
    ("/v1/credentials/{id}", "get"): {"responses": {"200": _CREDENTIAL}},
    ("/api/credentials", "get"): {"responses": {"200": _METADATA}},
}
