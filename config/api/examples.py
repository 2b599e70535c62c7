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

_CUSTOMER_APP: Final[dict[str, Any]] = {
    "id": _APP["id"],
    "provider": "hubspot",
    "name": "Arrakis - HubSpot",
    "client_id": "b9f074c9-3914-4021-8e23-1845bbe8b98c",
    "client_secret": "**********",
    "redirect_uris": ["https://acme.example/connected"],
    "scopes": ["crm.objects.contacts.read"],
    "config": {},
    "authorize_params": {},
    "metadata": {"team": "sales"},
    "health": {"status": "ok", "notes": [], "time": "2026-11-30T09:12:00Z"},
    "created_at": "2026-11-02T09:10:52Z",
    "updated_at": "2026-11-02T09:10:52Z",
}
_LINK: Final[dict[str, Any]] = {
    "id": "0198a1b2-7c1e-7000-8000-5f2f1c2c9d10",
    "url": "https://latchkey.example.com/connect/3q2-7w…",
    "status": "open",
    "kind": "hubspot_oauth2",
    "oauth_app_id": _APP["id"],
    "name": None,
    "owner_email": "ann@acme.example",
    "external_id": None,
    "metadata": {"customer": 7},
    "properties": {},
    "scopes": [],
    "return_to": "https://acme.example/connected",
    "reconnects": None,
    "credential_id": None,
    "failure": None,
    "notes": [],
    "created_at": "2026-11-30T09:12:00Z",
    "updated_at": "2026-11-30T09:12:00Z",
    "expires_at": "2026-12-01T09:12:00Z",
}
_ENDPOINT: Final[dict[str, Any]] = {
    "id": "0198a1b2-7c1e-7000-8000-5f2f1c2c9d11",
    "url": "https://hooks.example.com/latchkey",
    "events": ["credential.created", "credential.health_changed"],
    "enabled": True,
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "old_secret_until": None,
    "created_at": "2026-11-30T09:12:00Z",
    "updated_at": "2026-11-30T09:12:00Z",
    "secret": "whsec_…",
}
_EVENT: Final[dict[str, Any]] = {
    "id": "0198a1b2-7c1e-7000-8000-5f2f1c2c9d12",
    "verb": "credential.revealed",
    "actor": "token:0198a1b2-7c1e-7000-8000-5f2f1c2c9d13",
    "target": {"type": "credential", "id": _CREDENTIAL["id"]},
    "changed": [],
    "detail": {"reason": "Ticket 4711: the customer lost the key"},
    "ip": "192.0.2.7",
    "request_id": "6fd7e1b2c3d4e5f60718293a4b5c6d7e",
    "time": "2026-11-30T09:12:00Z",
}
_POLICY: Final[dict[str, Any]] = {
    "methods": ["GET"],
    "paths": ["/v1/charges*"],
    "rate_limit": {"requests": 100, "seconds": 60},
    "concurrency": 10,
}
_STRIPE_KEY: Final[dict[str, Any]] = {
    "kind": "stripe_key",
    "name": "Choam Stripe",
    "secret": "sk_live_7eC39HqLyjWDarjtT1zdp7dcasd",
    "test": False,
}

EXAMPLES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("/v1/credentials", "get"): {
        "responses": {"200": {"data": [_CREDENTIAL], "next_cursor": None}},
    },
    ("/v1/credentials", "post"): {
        "request": {
            "properties": _STRIPE_KEY,
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
    ("/v1/credentials/import", "post"): {
        "request": [
            {"properties": _STRIPE_KEY, "external_id": "choam"},
            {"properties": {"kind": "stripe_key"}},
        ],
        "responses": {
            "200": {
                "created": 1,
                "updated": 0,
                "unchanged": 0,
                "rejected": 1,
                "dry_run": False,
                "errors": [{"line": 2, "field": "properties.secret", "reason": "is required"}],
                "errors_truncated": False,
                "notices": [],
                "file_notices": [],
                "ignored": {},
            }
        },
    },
    ("/v1/credentials/{id}/check", "post"): {"responses": {"200": _CREDENTIAL}},
    ("/v1/credentials/{id}/report", "post"): {
        "request": {"status": 401},
        "responses": {"200": _CREDENTIAL},
    },
    ("/v1/credentials/{id}/token", "post"): {
        "responses": {
            "200": {
                "access_token": "CKjE1bq…",
                "token_type": "Bearer",
                "expires_at": "2026-11-30T09:42:00Z",
            }
        }
    },
    ("/v1/credentials/{id}/reveal", "post"): {
        "request": {"reason": "Ticket 4711: the customer lost the key"},
        "responses": {"200": {"id": _CREDENTIAL["id"], "properties": _STRIPE_KEY}},
    },
    ("/v1/credentials/{id}/rotate", "post"): {
        "request": {"properties": {"secret": "sk_live_9fD40IrMzkXEbskuU2aeq8eddbte"}},
        "responses": {"200": _CREDENTIAL},
    },
    ("/v1/credentials/{id}/policy", "put"): {
        "request": _POLICY,
        "responses": {"200": _POLICY},
    },
    ("/v1/credentials/start-auth", "post"): {
        "request": {
            "oauth_app_id": _APP["id"],
            "credential_kind": "hubspot_oauth2",
            "redirect_url": "https://acme.example/connected",
        },
        "responses": {"200": {"start_url": "https://latchkey.example.com/link/oauth2/start/8Xk…"}},
    },
    ("/v1/oauth-apps", "post"): {
        "request": {
            "provider": "hubspot",
            "name": _CUSTOMER_APP["name"],
            "client_id": _CUSTOMER_APP["client_id"],
            "client_secret": "0d5f2b1e-…",
            "redirect_uris": _CUSTOMER_APP["redirect_uris"],
            "scopes": _CUSTOMER_APP["scopes"],
        },
        "responses": {"200": _CUSTOMER_APP},
    },
    ("/v1/oauth-apps", "get"): {
        "responses": {"200": {"data": [_CUSTOMER_APP], "next_cursor": None}},
    },
    ("/v1/oauth-apps/{id}", "get"): {"responses": {"200": _CUSTOMER_APP}},
    ("/v1/connect-links", "post"): {
        "request": {
            "oauth_app_id": _APP["id"],
            "owner_email": "ann@acme.example",
            "metadata": {"customer": 7},
            "return_to": "https://acme.example/connected",
        },
        "responses": {"201": _LINK},
    },
    ("/v1/webhook-endpoints", "post"): {
        "request": {"url": _ENDPOINT["url"], "events": _ENDPOINT["events"]},
        "responses": {"201": _ENDPOINT},
    },
    ("/v1/events", "get"): {"responses": {"200": {"data": [_EVENT], "next_cursor": None}}},
    ("/api/auth/login", "post"): {
        "request": {"username": "ann", "password": "…", "account": "acme"},
        "responses": {
            "200": {"token": "lk_sess_…", "expires_at": "2026-11-30T13:12:00Z"},
        },
    },
    ("/api/credentials", "get"): {"responses": {"200": _METADATA}},
}
