"""Scopes of tokens. No scope implies another. A view states one per method, or PUBLIC or ANY."""

from __future__ import annotations

from typing import Final

CREDENTIALS_READ: Final = "credentials:read"
CREDENTIALS_WRITE: Final = "credentials:write"
CREDENTIALS_USE: Final = "credentials:use"
CREDENTIALS_REVEAL: Final = "credentials:reveal"
OAUTH_APPS_READ: Final = "oauth_apps:read"
OAUTH_APPS_WRITE: Final = "oauth_apps:write"
EVENTS_READ: Final = "events:read"
WEBHOOKS_READ: Final = "webhooks:read"
WEBHOOKS_WRITE: Final = "webhooks:write"

ALL: Final = (
    CREDENTIALS_READ,
    CREDENTIALS_WRITE,
    CREDENTIALS_USE,
    CREDENTIALS_REVEAL,
    OAUTH_APPS_READ,
    OAUTH_APPS_WRITE,
    EVENTS_READ,
    WEBHOOKS_READ,
    WEBHOOKS_WRITE,
)

ANY: Final = "any"
"""Any valid token or session, whatever its scopes."""

PUBLIC: Final = "public"
"""No token is required."""
