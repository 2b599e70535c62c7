"""The event types that an endpoint can subscribe to. They are part of the API: none is removed."""

from __future__ import annotations

from typing import Final

EVENT_TYPES: Final = (
    "credential.created",
    "credential.updated",
    "credential.deleted",
    "credential.refreshed",
    "credential.health_changed",
    "oauth_app.created",
    "oauth_app.updated",
    "oauth_app.deleted",
    "oauth_app.health_changed",
    "incident.opened",
    "incident.closed",
)
