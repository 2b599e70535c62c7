"""The page by bare code: two statements and one orjson.dumps, with nothing in between.

It is written apart from the product on purpose: were it slower than the product's own reading, the
floor would show it. Both must return the same bytes, which is checked before anything is measured.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import uuid
from typing import Any

import orjson

from bench.environment import CURSOR_KEY

PATH = "/v1/credentials"
LIMIT = 50
TOKEN = """
    SELECT id, account_id, scopes::text, last_used_at FROM accounts_apitoken
    WHERE digest = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
PAGE = f"""
    SELECT c.id::text, c.provider, c.kind, coalesce(nullif(c.name, ''), c.properties ->> 'name'),
        c.properties::text, c.metadata::text, c.health::text, nullif(c.owner_email, ''),
        nullif(c.external_id, ''), c.expires_at::text,
        coalesce(c.expires_at <= now(), g.next_at <= now(), c.secrets IS NULL),
        g.last_at::text, g.next_at::text, nullif(g.error, ''),
        u.last_used_at::text, c.created_at::text, c.updated_at::text, a.id::text, a.name, a.client_id,
        a.metadata::text, a.created_at::text, a.updated_at::text
    FROM credentials_credential c
    LEFT JOIN credentials_grant g ON g.id = c.grant_id
    LEFT JOIN oauth_apps_oauthapp a ON a.id = c.oauth_app_id
    LEFT JOIN credentials_credentialuse u ON u.credential_id = c.id
    WHERE c.account_id = %s ORDER BY c.id DESC LIMIT {LIMIT + 1}
"""
_key = bytes.fromhex(os.environ.get(CURSOR_KEY, ""))


def use_key(key: bytes) -> None:
    """Set the key that `cursor` signs with. The servers read it from their environment."""
    global _key
    _key = key


def digest(header: str) -> bytes:
    """Return the digest that the token table stores for an `Authorization` header."""
    return hashlib.sha256(header.removeprefix("Bearer ").encode()).digest()


def build_list(account_id: uuid.UUID, rows: list[tuple[Any, ...]]) -> bytes:
    """Build the body for the rows of PAGE."""
    more = cursor(account_id, uuid.UUID(rows[LIMIT - 1][0])) if len(rows) > LIMIT else None
    apps: dict[str, dict[str, Any]] = {}
    data = [_document(apps, *row) for row in rows[:LIMIT]]
    return orjson.dumps({"data": data, "next_cursor": more})


def cursor(account_id: uuid.UUID, after: uuid.UUID) -> str:
    """Build the cursor of the product for the page after this id, without filters."""
    bound = repr((str(account_id), PATH, [], str(after)))
    seal = hmac.digest(_key, bound.encode(), hashlib.sha256)[:16]
    return base64.urlsafe_b64encode(after.bytes + seal).decode()


def _document(
    apps: dict[str, dict[str, Any]],
    id: str,
    provider: str,
    kind: str,
    name: str | None,
    properties: str,
    metadata: str,
    health: str,
    owner_email: str | None,
    external_id: str | None,
    expires_at: str | None,
    due: bool,
    refresh_last_at: str | None,
    refresh_next_at: str | None,
    refresh_error: str | None,
    last_used_at: str | None,
    created_at: str,
    updated_at: str,
    app_id: str | None,
    *app: Any,
) -> dict[str, Any]:
    if app_id and app_id not in apps:
        apps[app_id] = _app(app_id, provider, *app)
    refresh = None
    if kind.endswith(("_oauth2", "_app")):
        refresh = {
            "state": "due" if due else "fresh",
            "last_at": _format_datetime(refresh_last_at),
            "next_at": _format_datetime(refresh_next_at),
            "error": refresh_error,
        }
    return {
        "id": id,
        "provider": provider,
        "kind": kind,
        "name": name,
        "oauth_app_id": app_id,
        "oauth_app": apps[app_id] if app_id else None,
        "properties": orjson.Fragment(properties),
        "metadata": orjson.Fragment(metadata),
        "health": orjson.Fragment(health),
        "owner_email": owner_email,
        "external_id": external_id,
        "expires_at": _format_datetime(expires_at),
        "refresh": refresh,
        "last_used_at": _format_datetime(last_used_at),
        "created_at": _format_datetime(created_at),
        "updated_at": _format_datetime(updated_at),
    }


def _app(
    id: str,
    provider: str,
    name: str,
    client_id: str,
    metadata: str,
    created_at: str,
    updated_at: str,
) -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "client_id": client_id,
        "client_secret": "*" * 10,
        "metadata": orjson.Fragment(metadata),
        "provider": provider,
        "created_at": _format_datetime(created_at),
        "updated_at": _format_datetime(updated_at),
    }


def _format_datetime(stored: str | None) -> str | None:
    """`2026-11-21 09:30:00.12+00` as ISO 8601 with six digits of fraction or none."""
    if stored is None:
        return None
    return f"{stored[:10]}T{stored[11:-3]:{'0<15' if '.' in stored else ''}}Z"
